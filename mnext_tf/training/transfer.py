"""Transfer learning: start from the weights of another run, with a new head where the classes differ."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.files import sha256
from mnext_tf.runs.config import InitialWeights, RunConfig
from mnext_tf.runs.run import Run, open_run
from mnext_tf.runs.weights import load_network, require_weights

_OF_CLASSES = re.compile(r"logits|head\d_class_pointwise")  # the layers whose size follows from the number of classes
_OF_HEAD = re.compile(r"logits|(extra|head)\d_\w+")  # what a network has beside its backbone
_FIXED = ("width", "identity_tensor_multiplier", "output_stride")  # what weights are of


def in_head(layer: str) -> bool:
    """Whether the layer of that name is none of the backbone's: a classifier's last, or a detector's extra ones."""
    return bool(_OF_HEAD.fullmatch(layer))


@dataclass(frozen=True)
class Transferred:
    """Names of the tensors that were kept, and of those that were initialized anew."""

    kept: tuple[str, ...]
    new: tuple[str, ...]
    source_classes: int
    classes: int

    def __str__(self) -> str:
        if not self.new:
            return f"kept all {len(self.kept)} tensors, including the head of {self.classes} classes"
        if len(self.new) > 20:  # another task
            return f"kept the backbone, {len(self.kept)} tensors; the {len(self.new)} others are new"
        return (
            f"kept {len(self.kept)} tensors; new: {', '.join(self.new)} "
            f"(the head, {self.source_classes} -> {self.classes} classes)"
        )


def inherited(source: Run, given: dict, *, detector: bool = False) -> tuple[str, dict, dict]:
    """What a new run takes from `source`: (network, recipe fields, other arguments of the network).

    A detector takes the backbone of a classifier with its normalization; size and preprocessing are its own.

    Args:
      given: what the user asked for, by recipe field or "model" or "convention"; None where nothing was.

    Raises ConfigError where it asks for another network than that of `source`.
    """
    if not source.trained:
        raise ConfigError(f"{source.folder} holds random weights; start from a trained or imported run.")
    require_weights(source)
    model = source.config.model
    fixed = {"model": model.name, "convention": "pytorch", **model.options}
    fixed |= {k: getattr(model, k) for k in _FIXED}
    if detector and model.priors:
        fixed["priors"] = model.priors
    for name, value in given.items():
        if value is not None and name in fixed and value != fixed[name]:
            raise ConfigError(
                f"--{name}={value} contradicts --init={source.folder}, whose weights are of {name}={fixed[name]}. "
                "Leave the flag out."
            )
    preprocess = source.config.preprocess
    fields = {k: getattr(model, k) for k in _FIXED if not (detector and k == "output_stride")}  # always 32
    mean, std = (model.mean, model.std) if bool(model.priors) == detector else model.normalization
    arguments = {"options": model.options, "mean": mean, "std": std}
    if bool(model.priors) == detector:
        fields |= {k: getattr(preprocess, k) for k in ("input_size", "crop_fraction", "interpolation")}
    if detector and model.priors:
        fields |= {"priors": model.priors, **vars(source.config.detection)}
    return model.name, fields, arguments


def describe_source(source: Run) -> InitialWeights:
    """For config.json: where the first weights come from."""
    return InitialWeights(str(source.folder.absolute()), sha256(require_weights(source)))


def open_source(wanted: InitialWeights, what: str) -> Run:
    """The run that another one was made from, as it was then; `what` it is, for the CheckpointError where it is not."""
    try:
        source = open_run(Path(wanted.run))
        found = sha256(require_weights(source))
    except ConfigError as e:
        raise CheckpointError(f"{what} is gone: {e}") from e
    if found != wanted.weights_sha256:
        raise CheckpointError(
            f"The weights of {source.folder} have changed since this run was made; put them back or start a new run."
        )
    return source


def transfer(model, config: RunConfig) -> Transferred:
    """Give `model` the weights of the run in `config.init_from`, layer by layer, by name.

    The head is kept only where the classes are the same, in the same order. A detector made from a classifier takes its
    backbone. Raises CheckpointError where that run has changed or is gone, or where another layer does not fit.
    """
    source = open_source(config.init_from, "The run whose weights this one starts from")
    same_task = source.config.task == config.task
    same_classes = same_task and source.config.class_names == config.class_names
    theirs = {layer.name: layer for layer in load_network(source).layers}
    kept, new = [], []
    for layer in model.layers:
        if not any("float" in str(w.dtype) for w in layer.weights):  # dropout's are the state of its random numbers
            continue
        names = [f"{layer.name}/{w.name.split('/')[-1].split(':')[0]}" for w in layer.weights]
        if (_OF_CLASSES.fullmatch(layer.name) and not same_classes) or (not same_task and layer.name not in theirs):
            new += names
            continue
        values = theirs[layer.name].get_weights() if layer.name in theirs else []
        if [v.shape for v in values] != [tuple(w.shape) for w in layer.weights]:
            raise CheckpointError(
                f"Layer {layer.name} of {source.folder} has tensors of {[v.shape for v in values]}; "
                f"here they are {[tuple(w.shape) for w in layer.weights]}. Start from a run of the same network."
            )
        layer.set_weights(values)
        kept += names
    return Transferred(tuple(kept), tuple(new), len(source.config.class_names), len(config.class_names))
