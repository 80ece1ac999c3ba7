"""The authors' checkpoints of detectors become runs."""

import json

import numpy as np
import pytest

from mnext_tf import import_checkpoint
from mnext_tf.checkpoints import detectors
from mnext_tf.checkpoints.file_formats import read_checkpoint
from mnext_tf.checkpoints.recognize import recognize
from mnext_tf.data.detection_classes import COCO, VOC
from mnext_tf.errors import CheckpointError

torch = pytest.importorskip("torch")


@pytest.fixture(params=["mnext", "mbv2"])
def checkpoint(request, golden, golden_tensor, tmp_path):
    record = json.loads((golden / f"ssdlite_{request.param}_voc.json").read_text())
    path = tmp_path / f"{request.param}_voc.pth"
    weights = {n: torch.from_numpy(np.array(golden_tensor(n, shape))) for n, shape in record["state_dict"].items()}
    torch.save({"model": weights}, path)
    return path


@pytest.mark.shared
def test_a_detector_is_recognized_and_imported(checkpoint, tmp_path):
    run = import_checkpoint(checkpoint, out=tmp_path / "run")
    config = run.config
    assert config.model.name == ("mnext" if checkpoint.stem.startswith("mnext") else "mobilenet_v2")
    assert (config.task, config.model.priors, config.model.num_classes) == ("detection", "voc", 20)
    assert config.class_names == VOC
    assert (config.preprocess.input_size, config.preprocess.fit) == (320, "squash")
    assert config.detection.scoring == "softmax"


@pytest.mark.shared
def test_other_priors_are_refused(checkpoint):
    found = read_checkpoint(checkpoint)
    found.tensors["box_head.predictor.reg_headers.5.bias"] = np.zeros(20, np.float32)
    with pytest.raises(CheckpointError, match="126 scores and 20 numbers of boxes"):
        recognize(found)
    with pytest.raises(CheckpointError, match="Other priors"):
        detectors.detector_shape(found)


def test_the_benchmarks_have_their_number_of_classes():
    assert (len(VOC), len(set(VOC)), len(COCO), len(set(COCO))) == (20, 20, 80, 80)
