"""An int8 file that is calibrated on a folder of images."""

import numpy as np
import pytest
from PIL import Image

from mnext_tf.errors import ConfigError
from mnext_tf.export import stages
from mnext_tf.files import read_json
from mnext_tf.runs.run import open_run


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(8):
        values = rng.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


@pytest.mark.slow
def test_the_folder_is_remembered_and_its_changes_make_the_stage_again(make_run, few_blocks, folder, log_lines):
    run = make_run()
    own = stages.tflite(run, "int8")
    assert "calibration_data" not in {**own.result, **own.manifest.settings}
    given = stages.tflite(run, "int8", calibration_data=folder, calibration_count=6)
    about = given.manifest.settings["calibration_data"]
    assert (about["folder"], about["images"]) == (str(folder), 6)
    assert given.result["calibration_images"] == 6
    assert given.result["calibration_data"]["folder"] == str(folder)
    assert any("warning" in line and "6 images are few" in line for line in log_lines)
    assert given.result["sha256"] != own.result["sha256"]
    assert stages.tflite(open_run(run.folder), "int8").skipped
    for file in folder.iterdir():
        Image.open(file).transpose(Image.Transpose.ROTATE_90).save(file)
    again = stages.tflite(run, "int8")
    assert not again.skipped
    assert again.manifest.settings["calibration_data"]["sha256"] != about["sha256"]
    with pytest.raises(ConfigError, match="is no folder"):
        stages.tflite(run, "int8", calibration_data=folder / "nowhere")
    assert read_json(run.folder / "export.json")["tflite_int8"]["calibration_data"] == str(folder)
    back = stages.tflite(run, "int8", calibration_data="", calibration_count=32)
    assert back.result["sha256"] == own.result["sha256"]


def test_files_without_ranges_take_no_folder(make_run, folder):
    with pytest.raises(ConfigError, match="calibration_data is for int8 and int16x8; float16 files have no ranges"):
        stages.tflite(make_run(), "float16", calibration_data=folder)
