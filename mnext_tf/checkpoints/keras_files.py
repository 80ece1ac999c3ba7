"""Keras files, read as HDF5: no layer is deserialized, so no code in the file can run."""

from __future__ import annotations

import collections
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np

from mnext_tf.checkpoints.limits import Budget
from mnext_tf.errors import CheckpointError

# Where Keras 3 keeps layers in a .weights.h5; the second is TensorFlow 2.13's and 2.14's.
_LAYER_GROUPS = ("layers", "_layer_checkpoint_dependencies")


def read_keras(path: Path) -> tuple[dict[str, np.ndarray], int | None]:
    """(name "layer/array" -> array, input size if stored) of a .keras, .h5, or .weights.h5 file.

    Raises CheckpointError for an HDF5 file that Keras did not write, or that links elsewhere. A damaged file may raise
    anything; see `limits.report_damage`.
    """
    import h5py

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                _refuse_links(path, file)
                return _read_v3(path, file, _input_size(config))
    with h5py.File(path, "r") as file:
        _refuse_links(path, file)
        if "layer_names" in file.attrs or "layer_names0" in file.attrs or "model_weights" in file:
            return _read_legacy(path, file)
        return _read_v3(path, file, None)


def _refuse_links(path: Path, file) -> None:
    """CheckpointError for any link that is not a hard one, before following it could open another file."""
    import h5py

    # returned, not raised: h5py turns exceptions in this callback into SystemError
    name = file.visititems_links(lambda name, link: None if isinstance(link, h5py.HardLink) else name)
    if name is not None:
        raise CheckpointError(
            f"{path}: {name} is a link that can lead to another file. Use a file that contains its own weights."
        )


def _read_v3(path: Path, file, input_size: int | None) -> tuple[dict[str, np.ndarray], int | None]:
    groups = next((file[name] for name in _LAYER_GROUPS if name in file), None)
    if groups is None:
        raise CheckpointError(f"{path} is an HDF5 file, but Keras did not write it: it contains no layers.")
    found: dict[str, tuple[str, list[np.ndarray]]] = {}
    budget = Budget(path)

    def visit(name: str, item) -> None:
        layer, _, last = name.rpartition("/")
        if last == "vars" and len(item) and "seed_generator" not in layer:
            arrays = [_array(item[key], budget) for key in sorted(item, key=int)]
            found[layer] = (_text(item.attrs.get("name", layer)), arrays)

    groups.visititems(visit)
    layers = sorted(found, key=_natural)  # Keras numbers layers of one kind in network order
    names = [found[layer][0] for layer in layers]
    if len(set(names)) < len(names):  # two inner models may share names; paths are always different
        names = layers
    tensors = {
        f"{name}/{i}": array
        for name, layer in zip(names, layers, strict=True)
        for i, array in enumerate(found[layer][1])
    }
    if input_size is None and "vars" in file:
        input_size = _size_in_name(_text(file["vars"].attrs.get("name", "")))
    return tensors, input_size


def _read_legacy(path: Path, file) -> tuple[dict[str, np.ndarray], int | None]:
    input_size = None
    if "model_config" in file.attrs:
        input_size = _input_size(json.loads(_text(file.attrs["model_config"])))
    weights = file.get("model_weights", file)
    tensors, counts, budget = {}, collections.Counter(), Budget(path)
    for layer in _strings(weights, "layer_names"):
        for name in _strings(weights[layer], "weight_names"):
            inner = name.rpartition("/")[0] or layer  # a layer may be a model: its tensors name the inner layer
            tensors[f"{inner}/{counts[inner]}"] = _array(weights[layer][name], budget)
            counts[inner] += 1
    return tensors, input_size


def _array(dataset, budget: Budget) -> np.ndarray:
    """The values of a dataset. Raises CheckpointError, before reading, if they are too many or in another file."""
    if dataset.is_virtual or dataset.external:
        raise CheckpointError(
            f"{budget.path}: {dataset.name} is stored in another file. Use a file that contains its own weights."
        )
    if dataset.dtype.kind not in "fiub":
        raise CheckpointError(f"{budget.path}: {dataset.name} contains {dataset.dtype} values, not numbers.")
    budget.take(dataset.size * dataset.dtype.itemsize)
    return dataset[()]


def _strings(group, attribute: str) -> list[str]:
    """A list of strings; Keras splits long ones into `attribute`0, `attribute`1, and so on."""
    if attribute in group.attrs:
        return [_text(s) for s in group.attrs[attribute]]
    found, i = [], 0
    while f"{attribute}{i}" in group.attrs:
        found += [_text(s) for s in group.attrs[f"{attribute}{i}"]]
        i += 1
    return found


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _natural(path: str) -> tuple:
    """conv2d before conv2d_2 before conv2d_10."""
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path))


def _input_size(config: dict) -> int | None:
    """Side of the square input in a model's configuration, if it is fixed."""
    for layer in config.get("config", {}).get("layers", []):
        if layer.get("class_name") == "InputLayer":
            shape = layer["config"].get("batch_shape") or layer["config"].get("batch_input_shape") or ()
            if len(shape) == 4 and shape[1] == shape[2] and isinstance(shape[1], int):
                return shape[1]
    return None


def _size_in_name(name: str) -> int | None:
    """keras.applications calls its networks mobilenetv2_1.00_224."""
    match = re.fullmatch(r"mobilenet\w*_\d\.\d+_(\d+)", name)
    return int(match[1]) if match else None
