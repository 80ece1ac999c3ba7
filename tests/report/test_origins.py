"""Runs whose weights come from elsewhere, and images without labels, in the report."""

import pytest

from mnext_tf.files import read_json, write_json
from mnext_tf.report import reproduce, run_tables
from mnext_tf.report.run_facts import read_runs
from mnext_tf.runs.config import DatasetConfig, ImportSource, InitialWeights
from mnext_tf.runs.run import open_run


@pytest.fixture
def changed_run(run_maker, tmp_path):
    """`changed_run(init=..., ...)`: a run with a checked export and these fields in its configuration."""

    def changed(**fields):
        folder = run_maker(tmp_path / "run", "mobilenet_v2", history=False, exports={"int8": 0.97}, **fields)
        return read_runs([open_run(folder)])[0]

    return changed


def test_an_imported_run_is_made_again_by_importing(changed_run):
    facts = changed_run(init="imported", source=ImportSource("model best.pth.tar", "0", 1, "torch", "timm"))
    first, second = reproduce.commands(facts)
    assert first.startswith("python -m pipelines.import_checkpoint ")
    assert "'--checkpoint=model best.pth.tar'" in first
    assert "pipelines.export_tflite" in second
    assert "imported; checked on digits" in reproduce.run(facts)


def test_a_transferred_run_names_the_run_it_started_from(changed_run):
    facts = changed_run(init_from=InitialWeights("/runs/imported", "0"))
    assert "--init=/runs/imported" in reproduce.commands(facts)[0]


def test_a_student_names_its_teacher_and_no_flag_is_none(changed_run):
    train = reproduce.commands(changed_run(teacher=InitialWeights("/runs/large", "0")))[0]
    assert "--teacher=/runs/large" in train
    assert "=None" not in train


def test_images_without_labels_give_no_accuracy(changed_run, tmp_path):
    changed_run()
    verify = tmp_path / "run" / "tflite_int8" / "verify.json"
    record = read_json(verify)
    for numbers in record["networks"].values():
        numbers["accuracy"] = None
    write_json(verify, record)
    facts = read_runs([open_run(tmp_path / "run")])[0]
    assert not facts.measures_accuracy
    table = run_tables.accuracy([facts])
    assert "| int8 | - | - | - | 98.75 |" in table
    assert "No accuracy" in table


def test_shards_that_do_not_describe_themselves_need_their_flags(changed_run):
    data = DatasetConfig("shards", "/data/my shards", "0", 9, 9, "/cache", 0, 0.2)
    train = reproduce.commands(changed_run(dataset=data))[0]
    assert "'--data_dir=/data/my shards' --label_offset=0 --num_classes=10 --cache_dir=/cache" in train
    assert "--validation_share=0.2" in train


def test_an_untrained_network_is_made_by_its_flags(changed_run):
    (export,) = reproduce.commands(changed_run(init="random", recipe=None))
    assert export.startswith("python -m pipelines.export_tflite --init=random --model=mobilenet_v2 --width=1.0")
    assert "--num_classes=10" in export
