"""TensorFlow's checkpoints and frozen graphs, read as arrays: no graph is built, so nothing in the file can run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mnext_tf.checkpoints.limits import Budget
from mnext_tf.checkpoints.tensorflow_index import Entry, check_size, check_text, read_index
from mnext_tf.checkpoints.variable_names import select
from mnext_tf.errors import CheckpointError

_PARTS = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the variable with the names of all others, in checkpoints of TensorFlow 2


def find_prefix(path: Path) -> Path | None:
    """The checkpoint that `path` means, as TensorFlow names it: without `.index`. None if it means none.

    Args:
      path: the prefix, one of the checkpoint's files, or the folder, whose file `checkpoint` chooses among several.

    Raises CheckpointError for a folder without a checkpoint, and for a checkpoint without its index.
    """
    if path.is_dir():
        return _chosen(path)
    part = _PARTS.search(path.name)
    prefix = path.with_name(path.name[: part.start()]) if part else path
    if (part or not path.exists()) and _with(prefix, ".index").exists():
        return prefix
    if part and path.exists():
        raise CheckpointError(
            f"{path} is one file of a TensorFlow checkpoint; {prefix.name}.index is missing beside it. Copy all files "
            f"{prefix.name}.* together."
        )
    return None


def files_of(prefix: Path) -> tuple[Path, ...]:
    """The index and the data files of a checkpoint. CheckpointError if there are no data files."""
    data = [p for p in prefix.parent.iterdir() if p.name.startswith(f"{prefix.name}.data-") and _PARTS.search(p.name)]
    if not data:
        raise CheckpointError(
            f"{prefix}.index has no data: {prefix.name}.data-00000-of-00001 is missing beside it. Copy both files."
        )
    return _with(prefix, ".index"), *sorted(data)


def read_variables(prefix: Path, nested: bool) -> tuple[dict, dict[str | None, list[str]]]:
    """({name: array}, {None: notes}) of a checkpoint; with several models, ({model: {name: array}}, {model: notes}).

    Args:
      nested: whether a single model is to be given like several.

    Raises CheckpointError if there are no weights of a network, or if they are no numbers. A damaged file may raise
    anything; see `limits.report_damage`.
    """
    import tensorflow as tf

    entries = read_index(_with(prefix, ".index"))
    # not load_checkpoint, which takes a folder of this name for the checkpoint
    reader = tf.compat.v1.train.NewCheckpointReader(str(prefix))
    budget, raw, notes = Budget(prefix), {}, {}
    for model, keys in _models(prefix, reader, entries, nested).items():
        chosen, notes[model] = select(prefix, keys, in_order=_OBJECTS in entries)
        if unused := sorted(keys.keys() - chosen.values()):
            notes[model].append(f"ignored {len(unused)} variables of the training: {', '.join(unused[:3])} ...")
        if chosen:
            raw[model] = {name: _variable(reader, keys[v], entries, budget) for name, v in chosen.items()}
    if not raw:
        names = [name for name in entries if name != _OBJECTS]
        raise CheckpointError(
            f"{prefix} contains an unsupported network; its variables begin with {', '.join(names[:4]) or 'nothing'}. "
            "Supported are TF-slim's MobilenetV1 and MobilenetV2, and networks of this project."
        )
    return raw.get(None, raw), notes


def read_frozen_graph(path: Path) -> tuple[dict[str, np.ndarray], int | None, list[str]]:
    """({name: array}, input size if the graph has it, notes) of the constants in a binary GraphDef.

    Raises CheckpointError if it contains no weights, or has other activations than the networks here. A damaged file
    may raise anything; see `limits.report_damage`.
    """
    from tensorflow.core.framework import graph_pb2
    from tensorflow.python.framework import tensor_util

    graph = graph_pb2.GraphDef.FromString(path.read_bytes())
    constants = {node.name: node.attr["value"].tensor for node in graph.node if node.op == "Const"}
    chosen, notes = select(path, constants)
    if not chosen:
        raise CheckpointError(
            f"{path} is a graph without the weights of a supported network as constants; it begins with "
            f"{', '.join(node.name for node in graph.node[:4])}. Give a frozen graph whose batch norms are not folded, "
            "or the checkpoint."
        )
    ops = {node.op for node in graph.node}
    if "Relu" in ops and "Relu6" not in ops:
        raise CheckpointError(f"{path} contains a different network: it has ReLU where the networks here have ReLU6.")
    if any(op.startswith("FakeQuant") for op in ops):
        notes.append("trained for quantization: the ranges of the activations are not imported")
    budget, arrays = Budget(path), {}
    for name, node in chosen.items():
        tensor = constants[node]
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        check_size(node, shape, _itemsize(path, node, tensor.dtype), budget)
        arrays[name] = _single_precision(tensor_util.MakeNdarray(tensor))
    return arrays, _input_size(graph), notes


def _with(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _chosen(folder: Path) -> Path:
    """The checkpoint in a folder: the one that its file `checkpoint` names, or the only one."""
    found = sorted(p.name.removesuffix(".index") for p in folder.glob("*.index"))
    listed = ", ".join(found[:5]) or "none"
    if (folder / "checkpoint").is_file():
        text = (folder / "checkpoint").read_text(encoding="utf-8", errors="replace")
        match = re.search(r'^\s*model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"', text, re.MULTILINE)
        # the folder may have been moved: what stands before the name is a path on another machine
        name = match and match[1].replace("\\", "/").rpartition("/")[2]
        if name not in found:
            raise CheckpointError(
                f"{folder}/checkpoint names {name or 'no checkpoint'}, which is not in the folder; checkpoints in it: "
                f"{listed}. Give one of them."
            )
        return folder / name
    if len(found) == 1:
        return folder / found[0]
    if (folder / "saved_model.pb").exists():
        raise CheckpointError(f"{folder} is a SavedModel. Give {folder}/variables/variables.index.")
    raise CheckpointError(
        f"{folder} is a folder without a file `checkpoint`; checkpoints of TensorFlow in it: {listed}. Give a file."
    )


def _models(prefix: Path, reader, entries: Mapping[str, Entry], nested: bool) -> dict[str | None, dict[str, str]]:
    """Model -> {variable name: key in the checkpoint}, in the order of the network; {None: ...} for a single model.

    A key is the shortest path to the variable, which may lead through the optimizer.
    """
    if _OBJECTS not in entries:
        return {None: {name: name for name in entries}}
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    check_text(prefix, entries[_OBJECTS])
    nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_OBJECTS)).nodes
    found = _variables(nodes, [0], entries)
    if not nested and len(dict(found)) == len(found):
        return {None: dict(found)}
    models: dict[str | None, dict[str, str]] = {}
    for child in nodes[0].children:
        found = _variables(nodes, [child.node_id], entries)
        models[child.local_name] = dict(found)
        if len(models[child.local_name]) < len(found):
            names = [name for name, _ in found]
            twice = next(name for name in names if names.count(name) > 1)
            raise CheckpointError(f"{prefix} contains {twice} twice in its entry {child.local_name}.")
    return models


def _variables(nodes, todo: list[int], entries: Mapping[str, Entry]) -> list[tuple[str, str]]:
    """(variable name, key in the checkpoint) of what the nodes `todo` lead to, in the order of the keys."""
    seen, found = set(todo), {}
    while todo:
        node = nodes[todo.pop()]
        found |= {a.checkpoint_key: a.full_name for a in node.attributes if a.full_name and a.checkpoint_key in entries}
        new = {child.node_id for child in node.children} - seen
        seen |= new
        todo += new
    return [(found[key], key) for key in sorted(found, key=_natural)]


def _natural(key: str) -> list:
    """layer_with_weights-2 before layer_with_weights-10: the order of the network."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)]


def _variable(reader, key: str, entries: Mapping[str, Entry], budget: Budget) -> np.ndarray:
    entry = entries[key]
    check_size(key, entry.shape, _itemsize(budget.path, key, entry.dtype), budget)
    return _single_precision(np.asarray(reader.get_tensor(key)))


def _itemsize(path: Path, name: str, dtype: int) -> int:
    """Bytes per number. CheckpointError for a type that is none."""
    import tensorflow as tf

    kind = tf.dtypes.as_dtype(dtype)
    if not (kind.is_floating or kind.is_integer):
        raise CheckpointError(f"{path}: {name} contains {kind.name} values; weights are floating-point numbers.")
    return kind.size


def _single_precision(array: np.ndarray) -> np.ndarray:
    """float16 and bfloat16 as float32."""
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


def _input_size(graph) -> int | None:
    """Side of the square input of a graph, if it is fixed."""
    for node in graph.node:
        if node.op == "Placeholder":
            sides = [dim.size for dim in node.attr["shape"].shape.dim]
            if len(sides) == 4 and sides[3] == 3 and sides[1] == sides[2] > 0:
                return sides[1]
    return None
