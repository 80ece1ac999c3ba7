"""The recipe that images choose by their size."""

import io

import numpy as np
import pytest
from PIL import Image

from mnext_tf.data import open_dataset
from mnext_tf.errors import ConfigError
from mnext_tf.training.recipes import RECIPES, resolve_recipe
from mnext_tf.training.start import plan_training


@pytest.fixture
def dataset_of(tmp_path):
    """`dataset_of((32, 32), (40, 20), kind="JPEG")`: a data set with images of these sizes in each of two classes."""

    def make(*sizes, kind="PNG"):
        for name in "ab":
            for split in ("train", "val"):
                folder = tmp_path / "images" / split / name
                folder.mkdir(parents=True)
                for i, (width, height) in enumerate(sizes):
                    pixels = np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)
                    encoded = io.BytesIO()
                    Image.fromarray(pixels).save(encoded, kind)
                    (folder / f"{split}{name}{i}.{kind.lower()}").write_bytes(encoded.getvalue())
        return open_dataset(tmp_path / "images", tmp_path / "cache")

    return make


def plan(recipe=None, model="mnext", has_data=True, **given):
    return plan_training(model, recipe, given, options={}, has_data=has_data)


@pytest.mark.parametrize(
    ("sizes", "input_size", "stride"),
    [([(32, 32)], 32, 8), ([(28, 28)], 32, 8), ([(64, 64), (40, 20)], 64, 16), ([(30, 45)], 45, 8)],
)
def test_small_images_are_trained_at_their_size(dataset_of, sizes, input_size, stride):
    first = plan(epochs=5)
    assert first.recipe == resolve_recipe("photos", {"epochs": 5})
    chosen = first.for_data(dataset_of(*sizes))
    assert chosen.recipe == resolve_recipe("small_images", {"epochs": 5, "input_size": input_size})
    assert chosen.recipe.model("mnext").output_stride == stride


@pytest.mark.parametrize("sizes", [[(65, 20)], [(32, 32), (32, 100)]])
def test_larger_images_are_photos(dataset_of, sizes):
    assert plan().for_data(dataset_of(*sizes)).recipe == RECIPES["photos"]


def test_jpeg_headers_are_read_as_well(dataset_of):
    assert plan().for_data(dataset_of((48, 32), kind="JPEG")).recipe.input_size == 48


def test_what_is_given_stays(dataset_of):
    dataset = dataset_of((32, 32))
    assert plan(input_size=96).for_data(dataset).recipe.input_size == 96
    assert plan("photos").for_data(dataset).recipe == RECIPES["photos"]
    digits = plan(has_data=False)
    assert digits.for_data(dataset) == digits


def test_what_does_not_fit_the_network_is_refused_when_the_data_are_known(dataset_of):
    fitting = plan(model="mnext_s", output_stride=32, input_size=16 * 2)
    assert fitting.for_data(dataset_of((32, 32))).recipe.input_size == 32
    with pytest.raises(ConfigError, match="input_size of mnext_s"):
        plan(model="mnext_s", output_stride=32, input_size=31)
