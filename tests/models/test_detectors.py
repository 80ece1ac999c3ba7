"""SSDLite: priors, outputs, and the same network in Keras and as an outline."""

import numpy as np
import pytest

from mnext_tf import ConfigError, create_detector
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.priors import make_priors, map_sides, priors_per_cell
from mnext_tf.models.ssdlite import BACKBONES, MEAN, STD


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("kind", "size", "width"), [("voc", 320, 1.0), ("coco", 192, 0.5)])
def test_keras_and_outline_build_the_same_detector(backbone, kind, size, width):
    config = ModelConfig(backbone, num_classes=3, input_size=size, width=width, priors=kind)
    model, outline = config.create(), config.outline()
    assert model.output_names == ["class_logits", "box_regression"]
    count = len(make_priors(kind, size))
    assert [tuple(o.shape) for o in model.outputs] == [(None, count, 4), (None, count, 4)]
    outlined = {layer.name: layer for layer in outline.layers}  # Keras orders parallel layers otherwise
    assert {layer.name for layer in model.layers} == set(outlined)
    for ours in model.layers:
        theirs = outlined[ours.name]
        assert [tuple(w.shape) for w in ours.weights] == [tuple(w.shape) for w in theirs.weights], ours.name
        assert tuple(ours.output.shape) == tuple(theirs.output.shape), ours.name


def test_priors_have_the_published_numbers_and_stay_in_the_image():
    for kind, count in (("voc", 3234), ("coco", 3232)):
        priors = make_priors(kind, 320)
        assert priors.shape == (count, 4)
        assert priors.min() >= 0
        assert priors.max() <= 1
    assert map_sides(320) == [20, 10, 5, 3, 2, 1]
    assert priors_per_cell("coco") == [6, 6, 6, 6, 6, 4]
    # the first position: the two squares, then 2:1, 1:2, 3:1, 1:3
    np.testing.assert_allclose(make_priors("voc", 320)[0], [0.025, 0.025, 45 / 320, 45 / 320], rtol=1e-6)
    wide, tall = make_priors("voc", 320)[2:4, 2:]
    np.testing.assert_allclose(wide, tall[::-1])
    assert wide[0] / wide[1] == pytest.approx(2)


def test_priors_of_another_size_are_the_same_shares_of_the_image_and_centered():
    priors = make_priors("voc", 300)
    sides = map_sides(300)
    assert len(priors) == 6 * sum(side**2 for side in sides)
    np.testing.assert_allclose(priors[0], [0.5 / 19, 0.5 / 19, 45 / 320, 45 / 320], rtol=1e-6)
    np.testing.assert_allclose(priors[-6:, :2], 0.5)


def test_a_detector_normalizes_as_its_authors_unless_told_otherwise():
    assert ModelConfig("mnext", 3, priors="voc", input_size=320).normalization == (MEAN, STD)
    own = ModelConfig("mnext", 3, priors="voc", input_size=320, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    assert own.normalization == ((1, 2, 3), (4, 5, 6))


def test_what_cannot_be_a_detector_is_refused():
    with pytest.raises(ConfigError, match="must be one of mnext, mobilenet_v2, mobilenet_v1; received 'mnext_s'"):
        create_detector("mnext_s", 20)
    with pytest.raises(ConfigError, match="priors must be one of voc, coco; received 'kitti'"):
        create_detector("mnext", 20, priors="kitti")
    with pytest.raises(ConfigError, match="output_stride 32; received 16"):
        ModelConfig("mnext", 20, priors="voc", output_stride=16)


def test_settings_of_older_versions_are_classifiers():
    old = {k: v for k, v in ModelConfig("mnext").to_dict().items() if k != "priors"}
    assert ModelConfig.from_dict(old) == ModelConfig("mnext")
