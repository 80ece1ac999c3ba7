"""What a .tflite file says of itself, written, read, and damaged."""

import contextlib
import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.export.about import describe
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.metadata import Metadata, TensorInfo, add_metadata, labels_text, parse_labels, read_metadata

LOGITS = [TensorInfo("logits", "Logits of the classes", labeled=True)]
ABOUT = Metadata(
    name="Network é",
    description="d",
    version="1",
    author="a",
    license="Apache-2.0",
    mean=(1.0, 2.0, 3.0),
    std=(0.5, 4.0, 8.0),
    labels=("a cat", "ein Hund, groß", "c"),
    preprocess={"input_size": 32, "crop_fraction": 1.0, "interpolation": "bilinear"},
)


@pytest.fixture(scope="module")
def file(exported):
    return exported.stage("tflite_float32") / exported.manifest("tflite_float32")["result"]["file"]


def test_every_export_says_what_it_is(exported):
    for stage in ("tflite_float32", "tflite_int8"):
        about = read_metadata(exported.stage(stage) / exported.manifest(stage)["result"]["file"])
        config = exported.config
        assert about == describe(config, stage, author="not stated", license="not stated")
        assert about.name == f"MobileNeXt 0.35, 32 px, {stage.removeprefix('tflite_')}"
        assert (about.labels, about.preprocess) == (config.class_names, config.preprocess.to_dict())
        assert about.feeds_pixels


def test_metadata_is_read_as_written_and_replaced(file, tmp_path):
    path, images = tmp_path / "x.tflite", np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3))
    path.write_bytes(add_metadata(file.read_bytes(), ABOUT, LOGITS))
    assert read_metadata(path) == ABOUT
    once = len(path.read_bytes())
    path.write_bytes(add_metadata(path.read_bytes(), replace(ABOUT, name="other"), LOGITS))
    assert read_metadata(path) == replace(ABOUT, name="other")
    assert len(path.read_bytes()) <= once + 1024  # not a second archive
    fed = TFLiteNetwork(path)  # normalises as its metadata asks
    np.testing.assert_array_equal(
        fed(images.astype(np.float32)), TFLiteNetwork(file)(ABOUT.normalize(images.astype(np.float32)))
    )


def test_the_network_itself_is_not_changed(file):
    model, again = (
        flatbuffer.read_model(file.read_bytes()),
        flatbuffer.read_model(flatbuffer.write_model(flatbuffer.read_model(file.read_bytes()))),
    )
    for a, b in zip(model.buffers, again.buffers, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert len(model.subgraphs[0].operators) == len(again.subgraphs[0].operators)


def test_weights_begin_at_multiples_of_16(file):
    from ai_edge_litert.schema_py_generated import Model

    data = file.read_bytes()
    model, whole = Model.GetRootAs(data, 0), np.frombuffer(data, np.uint8)
    starts = [
        model.Buffers(i).DataAsNumpy().__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        for i in range(model.BuffersLength())
        if model.Buffers(i).DataLength()
    ]
    assert len(starts) > 50
    assert {start % 16 for start in starts} == {0}


def test_the_archive_is_a_plain_zip_that_is_not_compressed(file):
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["labels.txt", "preprocess.json"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read("preprocess.json"))["input_size"] == 32


def test_the_same_content_gives_the_same_bytes(file):
    data = file.read_bytes()
    assert add_metadata(data, ABOUT, LOGITS) == add_metadata(data, ABOUT, LOGITS)


def test_a_file_without_metadata_says_nothing(file, tmp_path):
    tree = flatbuffer.read_model(file.read_bytes())
    tree.metadata = []
    path = tmp_path / "silent.tflite"
    path.write_bytes(flatbuffer.write_model(tree))
    assert read_metadata(path) is None
    assert TFLiteNetwork(path)(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 10)


def test_damaged_metadata_is_refused_whatever_the_damage(file, tmp_path):
    """Bytes of the metadata changed at random: read as something or refused, never another error."""
    from ai_edge_litert.schema_py_generated import Model

    data, rng, path = file.read_bytes(), np.random.default_rng(0), tmp_path / "damaged.tflite"
    model = Model.GetRootAs(data, 0)
    packed = bytes(model.Buffers(model.BuffersLength() - 1).DataAsNumpy())
    refused = []
    for start, end in ((data.index(packed), data.index(packed) + len(packed)), (data.index(b"PK\x03\x04"), len(data))):
        for _ in range(100):
            damaged = bytearray(data)
            for at in rng.integers(start, end, 4):
                damaged[at] = rng.integers(0, 256)
            path.write_bytes(damaged)
            with contextlib.suppress(ExportError):
                read_metadata(path)
                continue
            refused.append(start)
    assert min(refused.count(start) for start in set(refused)) > 10
    assert len(set(refused)) == 2


def test_a_file_that_is_cut_off_is_refused(file, tmp_path):
    data, path = file.read_bytes(), tmp_path / "cut.tflite"
    for length in (8, 40, 5000, len(data) // 2):
        path.write_bytes(data[:length])
        with pytest.raises(ExportError, match="cannot be read"):
            read_metadata(path)


def test_other_files_are_no_models(tmp_path):
    path = tmp_path / "x.tflite"
    path.write_bytes(b"PK\x03\x04 no model")
    assert read_metadata(path) is None
    with pytest.raises(ExportError, match="TFL3"):
        add_metadata(path.read_bytes(), ABOUT, LOGITS)


def test_network_of_others_by_its_metadata(file, tmp_path, log_lines):
    """No labels.txt, no preprocess.json beside it: what lies inside serves."""
    from mnext_tf.inference.predictor import open_predictor

    said, path = log_lines, tmp_path / "alone.tflite"
    path.write_bytes(file.read_bytes())
    network = open_predictor(path, format="tflite")
    inside = read_metadata(file)
    assert network.labels == inside.labels
    assert network.preprocess.to_dict() == inside.preprocess
    assert said == []

    about = replace(ABOUT, labels=(), preprocess=None)
    path.write_bytes(add_metadata(file.read_bytes(), about, LOGITS))
    network = open_predictor(path, format="tflite")
    assert network.labels[0] == "class 0"
    assert "(RGB - 1, 2, 3) / 0.5, 4, 8" in said[0]


def test_wrong_preprocessing_inside_is_named_as_such(file, tmp_path):
    from mnext_tf.inference.predictor import open_predictor

    path = tmp_path / "x.tflite"
    path.write_bytes(add_metadata(file.read_bytes(), replace(ABOUT, preprocess={"input_size": 32}), LOGITS))
    with pytest.raises(ConfigError, match=r"preprocess.json inside .*x.tflite is damaged.*Export again\.$"):
        open_predictor(path, format="tflite")


def test_archive_of_others_may_be_compressed(file, tmp_path):
    whole = io.BytesIO(flatbuffer.write_model(flatbuffer.read_model(file.read_bytes())))
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "x\n" * 10)
    path = tmp_path / "deflated.tflite"
    path.write_bytes(whole.getvalue())
    assert read_metadata(path).labels == ("x",) * 10


def test_only_line_breaks_separate_labels(file, tmp_path):
    """str.splitlines would cut at characters that names may hold."""
    labels, path = ("a\u2028b", "c\x0bd", "e\x85f"), tmp_path / "x.tflite"
    assert parse_labels(labels_text(labels)) == labels
    assert parse_labels("a\r\nb\n") == parse_labels("a\nb") == ("a", "b")
    path.write_bytes(add_metadata(file.read_bytes(), replace(ABOUT, labels=labels), LOGITS))
    assert read_metadata(path).labels == labels
    with pytest.raises(ConfigError, match="'a\\\\nb' has a line break"):
        labels_text(["a\nb"])
