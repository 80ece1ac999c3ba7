"""Which processors take a file: what XNNPACK leaves here, what the GPU delegate's rules refuse, and why."""

import csv

import pytest

from mnext_tf.export import stages
from mnext_tf.files import read_json, write_json
from mnext_tf.report.report import write_report
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.preflight import CPU, GPU, NOT_KNOWN, preflight, summary

NO_INT16 = {"XNNPACK": "no kernels for int16 tensors", "GPU delegate": "no int16 tensors"}


@pytest.fixture
def run(wide_exported):
    return wide_exported


def rows(run, stage):
    with open(run.stage(stage) / "preflight.csv", newline="") as f:
        return list(csv.DictReader(f))


def path_of(run, stage):
    return run.stage(stage) / run.manifest(stage).result["file"]


def test_a_file_that_all_take_has_no_table(run):
    for stage in ("tflite_float32", "tflite_int8"):
        found = run.manifest(stage).result["preflight"]
        assert found["left"] == {CPU: [], GPU: []}
        assert found["operators"] == run.manifest(stage).result["nodes_total"] > 15
        assert not (run.stage(stage) / "preflight.csv").exists()
    assert run.manifest("tflite_float32").result["preflight"]["note"] == ""
    assert "dequantized" in run.manifest("tflite_int8").result["preflight"]["note"]


def test_dynamic_leaves_its_depthwise_convolutions_by_layer(run):
    result, left = run.manifest("tflite_dynamic").result, rows(run, "tflite_dynamic")
    on_cpu = [row for row in left if row["processor"] == CPU]
    assert len(on_cpu) == result["nodes_total"] - result["nodes_delegated"] > 3
    assert {row["operator"] for row in on_cpu} == {"DEPTHWISE_CONV_2D"}
    assert all("depthwise" in row["layer"] and "depthwise kernel" in row["reason"] for row in on_cpu)
    (on_gpu,) = [row for row in left if row["processor"] == GPU]
    assert (on_gpu["operator"], int(on_gpu["index"])) == ("FULLY_CONNECTED", result["nodes_total"] - 1)
    assert on_gpu["reason"] == "version 12 of the operator, it takes up to 9"


def test_int16_runs_on_neither(run):
    left = rows(run, "tflite_int16x8")
    total = run.manifest("tflite_int16x8").result["nodes_total"]
    for processor, reason in NO_INT16.items():
        mine = [row for row in left if row["processor"] == processor]
        assert [int(row["index"]) for row in mine] == list(range(total))
        assert {row["reason"] for row in mine} == {reason}
    found = run.manifest("tflite_int16x8").result["preflight"]
    assert summary(found, CPU) == f"0 of {total} operators (no kernels for int16 tensors)"


def test_weights_of_a_scale_per_channel_are_for_the_cpu(run):
    found = run.manifest("tflite_weight_int8").result["preflight"]
    assert found["left"][CPU] == []
    (group,) = found["left"][GPU]
    assert group["operator"] == "DEQUANTIZE"
    assert group["reason"] == "version 5 of the operator, it takes up to 3"
    taken = found["operators"] - group["operators"]
    assert summary(found, GPU).startswith(f"{taken} of {found['operators']} operators, not {group['operators']} DEQ")


@pytest.mark.parametrize("parts", [5, 6])
def test_a_concatenation_of_many_parts_is_not_for_xnnpack(parts, tmp_path):
    import tensorflow as tf

    image = tf.keras.Input((8, 8, 3), batch_size=1)
    joined = tf.keras.layers.Concatenate()([tf.keras.layers.MaxPool2D(n + 1, 1, "same")(image) for n in range(parts)])
    path = tmp_path / "joined.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, joined)).convert())
    left = [(x.operator, x.reason) for x in preflight(path).left if x.operator == "CONCATENATION"]
    assert left == ([("CONCATENATION", "more than 5 inputs")] if parts > 5 else [])


def test_an_operator_that_no_rule_names_is_not_called_taken(run, tmp_path):
    """HARD_SWISH stands behind the network of the float file; XNNPACK takes it, the table says nothing of it."""
    tree = flatbuffer.read_model(path_of(run, "tflite_float32").read_bytes())
    graph = tree.subgraphs[0]
    logits = graph.outputs[0]
    output = flatbuffer.add_tensor(graph, "odd", graph.tensors[logits].shape, graph.tensors[logits].type)
    graph.operators.append(flatbuffer.make_operator(tree, "HARD_SWISH", [logits], [output]))
    graph.outputs, tree.signatureDefs = [output], []
    (tmp_path / "odd.tflite").write_bytes(flatbuffer.write_model(tree))
    found = preflight(tmp_path / "odd.tflite", ["logits"])
    assert [(left.processor, left.operator, left.reason) for left in found.left] == [(GPU, "HARD_SWISH", NOT_KNOWN)]


def test_the_command_says_it_in_a_line(run, python):
    said = python("-m", "pipelines.export_tflite", f"--run={run.folder}", "--quantize=int8").stdout
    total = run.manifest("tflite_int8").result["nodes_total"]
    all_of_it = f"{total} of {total} operators"
    line = f"XNNPACK takes {all_of_it}; a GPU delegate, by its rules, {all_of_it}; int8 is computed there dequantized"
    assert line in said


def test_exporting_prints_nothing(run, few_blocks, capfd):
    stages.tflite(run, "float32", force=True)
    assert capfd.readouterr().out == ""


def test_the_report_has_a_table_and_older_manifests_open(run, tmp_path):
    text = write_report(tmp_path / "report", [run], []).read_text()
    table = text.split("## Which processors take the files")[1].split("\n## ")[0]
    assert "no kernels for int16 tensors" in table
    assert len([line for line in table.splitlines() if line.startswith("| MobileNeXt")]) == 5
    kept = {}
    for stage in ("float32", "int8", "dynamic", "weight_int8", "int16x8"):
        path = run.stage(f"tflite_{stage}") / "manifest.json"
        kept[path] = read_json(path)
        older = {**kept[path], "result": {k: v for k, v in kept[path]["result"].items() if k != "preflight"}}
        write_json(path, older)
    try:
        text = write_report(tmp_path / "report", [run], []).read_text()
    finally:
        for path, content in kept.items():
            write_json(path, content)
    assert "Which processors" not in text
    assert "int16x8" in text
