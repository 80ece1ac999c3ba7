"""What a detector's file says of itself, and that MediaPipe's own schema reads it."""

import json
import zipfile

import numpy as np
import pytest
from support.detectors import ABOUT, toy_decoding, toy_priors

from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.tflite.detector import Decoding
from mnext_tf.tflite.detector_metadata import add_detector_metadata, read_priors
from mnext_tf.tflite.metadata import Metadata, read_metadata

FORMS = ("raw", "two", "four")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_says_how_it_is_decoded(toy_file, form):
    about = read_metadata(toy_file("float32", form, "sigmoid"))
    assert Decoding.from_dict(about.detector) == toy_decoding(form=form, scoring="sigmoid")
    assert (about.labels, about.name, about.preprocess) == (ABOUT.labels, "Toy", None)
    with zipfile.ZipFile(toy_file("float32", form, "sigmoid")) as archive:
        assert archive.namelist() == ["labels.txt", "detector.json"]
        assert json.loads(archive.read("detector.json"))["iou_threshold"] == 0.5


def test_a_file_of_two_outputs_carries_its_priors(toy_file):
    np.testing.assert_array_equal(read_priors(read_metadata(toy_file("int8", "two"))), toy_priors())
    with pytest.raises(ExportError, match="priors inside"):
        read_priors(read_metadata(toy_file("int8", "four")))
    with pytest.raises(ExportError, match="identifier V001"):
        read_priors(Metadata(custom={"DETECTOR_METADATA": b"something"}))


def test_metadata_is_replaced_and_repeatable(toy_file, tmp_path):
    path = tmp_path / "x.tflite"
    data = toy_file("float32", "two").read_bytes()
    how = toy_decoding(form="two", iou_threshold=0.7)
    made = add_detector_metadata(data, ABOUT, how, toy_priors())
    assert made == add_detector_metadata(data, ABOUT, how, toy_priors())
    path.write_bytes(add_detector_metadata(made, ABOUT, how, toy_priors()))
    assert read_metadata(path).detector == how.to_dict()
    assert len(path.read_bytes()) < len(made) + 10_000 + 160 * 24  # what is replaced stays as a buffer; no archive does


def test_records_out_of_range_are_refused():
    for wrong in ({"form": "three"}, {"scoring": "argmax"}, {"iou_threshold": 0.0}, {"max_detections": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Decoding(**wrong)


@pytest.mark.mediapipe
def test_by_mediapipe_own_schema(toy_file):
    pytest.importorskip("mediapipe", reason="MediaPipe is not installed: make extras")
    from ai_edge_litert.schema_py_generated import Model
    from mediapipe.tasks.metadata import metadata_schema_py_generated as general
    from mediapipe.tasks.metadata import object_detector_metadata_schema_py_generated as detector

    def document(form):
        model = Model.GetRootAs(toy_file("float32", form).read_bytes(), 0)
        (packed,) = (model.Metadata(i) for i in range(model.MetadataLength()) if b"TFLITE" in model.Metadata(i).Name())
        data = model.Buffers(packed.Buffer()).DataAsNumpy().tobytes()
        return general.ModelMetadataT.InitFromObj(general.ModelMetadata.GetRootAs(data, 0)).subgraphMetadata[0]

    two, four = document("two"), document("four")
    (custom,) = two.customMetadata
    assert custom.name == b"DETECTOR_METADATA"
    data = bytes(custom.data)
    assert detector.ObjectDetectorOptions.ObjectDetectorOptionsBufferHasIdentifier(data, 0)
    options = detector.ObjectDetectorOptionsT.InitFromObj(detector.ObjectDetectorOptions.GetRootAs(data, 0))
    anchors = options.ssdAnchorsOptions.fixedAnchorsSchema.anchors
    np.testing.assert_array_equal([[a.xCenter, a.yCenter, a.width, a.height] for a in anchors], toy_priors())
    found = options.tensorsDecodingOptions
    assert (found.numClasses, found.numBoxes, found.numCoords, found.numKeypoints) == (3, 160, 4, 0)
    assert (found.xScale, found.yScale, found.wScale, found.hScale) == (10, 10, 5, 5)
    assert (found.applyExponentialOnBoxSize, found.sigmoidScore, found.numValuesPerKeypoint) == (True, False, 2)
    names = [[t.name.decode() for t in graph.outputTensorMetadata] for graph in (two, four)]
    assert names == [["location", "score"], ["location", "category", "score", "number of detections"]]
    for graph in (two, four):
        boxes = graph.outputTensorMetadata[0].content.contentProperties
        assert (list(boxes.index), boxes.type, boxes.coordinateType) == ([1, 0, 3, 2], 1, 0)
    labeled = two.outputTensorMetadata[1], four.outputTensorMetadata[1]
    assert [t.associatedFiles[0].type for t in labeled] == [
        general.AssociatedFileType.TENSOR_AXIS_LABELS,
        general.AssociatedFileType.TENSOR_VALUE_LABELS,
    ]
    (threshold,) = two.outputTensorMetadata[1].processUnits
    assert threshold.options.globalScoreThreshold == pytest.approx(0.3)
