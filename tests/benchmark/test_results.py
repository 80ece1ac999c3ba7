import csv
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnext_tf.benchmark.results import Results, describe_host, format_table, make_rows, read_results, write_results
from mnext_tf.benchmark.timing import Case, CaseResult, Ratio
from mnext_tf.errors import DataError
from mnext_tf.naming import Network

HEADER = (
    "model,width,input_size,quantize,delegate,adapter,threads,runs,rounds,init_ms,min_ms,median_ms,p95_ms,mean_ms,std_ms,"
    "ratio,ratio_p25,ratio_p75,peak_memory_mb,file,file_mb,sha256,nodes_delegated,nodes_total,not_delegated,"
    "host_cpu,litert_version,tensorflow_version,mnext_tf_version,date,name,accuracy_check,identity_tensor_multiplier"
)


@pytest.fixture
def written(tmp_path) -> Path:
    file = tmp_path / "out" / "models" / "x.tflite"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"m" * 1500)
    case = Case(Network("mnext", 0.5, 1.0, 96, "int8"), file, 2, "cpu", "my run", "passed")
    result = CaseResult(case, 3.0, ((1.0, 2.0, 3.0), (3.0, 4.0, 50.0)), Ratio(1.2, 1.1, 1.3), None, "no /proc here")
    left = SimpleNamespace(nodes_delegated=68, nodes_total=70, left=("MEAN pool", "SOFTMAX"))
    rows = make_rows([result], {file: left}, describe_host(), tmp_path / "out")
    write_results(Results(tmp_path / "out", "command", {"runs": []}, "hash", describe_host(), rows))
    return tmp_path / "out"


def test_csv_has_the_columns_and_the_values(written):
    text = (written / "benchmark.csv").read_text()
    assert text.splitlines()[0] == HEADER
    row = next(csv.DictReader(text.splitlines()))
    assert (row["model"], row["width"], row["threads"], row["runs"], row["rounds"]) == ("mnext", "0.5", "2", "6", "2")
    assert float(row["min_ms"]) == 1.0
    assert float(row["median_ms"]) == 3.0
    assert float(row["p95_ms"]) == pytest.approx(38.5)
    assert float(row["mean_ms"]) == 10.5
    assert row["peak_memory_mb"] == ""
    assert row["file"] == "models/x.tflite"
    assert float(row["file_mb"]) == 0.0015
    assert row["sha256"] == hashlib.sha256(b"m" * 1500).hexdigest()
    assert row["not_delegated"] == "MEAN pool; SOFTMAX"
    assert row["litert_version"]
    assert row["tensorflow_version"].startswith("2.")


def test_json_adds_rounds_reasons_and_the_host(written):
    results = read_results(written)
    assert results.rows[0]["round_medians_ms"] == [2.0, 4.0]
    assert results.rows[0]["peak_memory_reason"] == "no /proc here"
    assert results.host["cores"] >= 1
    assert len(results.host["load_at_start"]) == 3
    assert results.made_of == "hash"


def test_table_names_what_was_not_delegated(written):
    table = format_table(read_results(written).rows)
    assert "68 of 70 (left: MEAN pool, SOFTMAX)" in table
    assert "mnext (my run)" in table
    assert "1.200 (1.100 .. 1.300)" in table


@pytest.mark.parametrize("name", ["benchmark.csv", "benchmark.json"])
def test_missing_file_says_which_command_makes_it(written, name):
    (written / name).unlink()
    with pytest.raises(DataError, match=rf"no {name}.*python -m pipelines\.benchmark"):
        read_results(written)


def test_damage_is_reported(written):
    path = written / "benchmark.json"
    content = json.loads(path.read_text())
    del content["rows"][0]["ratio"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"damaged.*ratio"):
        read_results(written)
    path.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_results(written)


def test_results_of_an_earlier_release_have_todays_names(written):
    path = written / "benchmark.json"
    content = json.loads(path.read_text())
    content["settings"] = {"version": 1, "models": ["keras_mobilenet_v2"], "width": 1.0}
    content["rows"][0]["model"] = "keras_mobilenet_v2"
    for column in ("name", "accuracy_check", "identity_tensor_multiplier"):
        del content["rows"][0][column]
    path.write_text(json.dumps(content))
    (row,) = read_results(written).rows
    assert (row["model"], row["name"], row["identity_tensor_multiplier"]) == ("keras:MobileNetV2", "", 1.0)


def test_csv_and_json_of_different_benchmarks_are_refused(written):
    path = written / "benchmark.json"
    content = json.loads(path.read_text())
    content["rows"][0]["sha256"] = "other"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="belong to different benchmarks"):
        read_results(written)
