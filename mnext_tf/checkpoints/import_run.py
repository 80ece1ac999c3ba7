"""Imports a published checkpoint as a run folder for all later stages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from mnext_tf.boxes import DETECTION_SETTINGS
from mnext_tf.checkpoints.assign import assign
from mnext_tf.checkpoints.file_formats import Checkpoint, read_checkpoint
from mnext_tf.checkpoints.recognize import Recognized, recognize, targets_of, without_background
from mnext_tf.checkpoints.tensor_names import background_first, unused_names
from mnext_tf.data import detection_classes, imagenet
from mnext_tf.data.dataset import Dataset
from mnext_tf.errors import ConfigError
from mnext_tf.files import sha256, sha256_of
from mnext_tf.models import save_weights
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.summary import count_parameters
from mnext_tf.runs.config import DatasetConfig, ImportSource, RunConfig
from mnext_tf.runs.run import Run, create_run, open_run
from mnext_tf.runs.stages import run_stage
from mnext_tf.training.start import images_to_verify

# What identifies an import: fields of config.json, and within "source" those that determine the weights
_IDENTITY = ("source", "model", "preprocess", "class_names", "dataset")
_SOURCE = ("sha256", "entry", "drop_background")


def default_folder(checkpoint: str | Path, root: str | Path = "runs") -> Path:
    """runs/model_best-imported for model_best.pth.tar: the same file gives the same folder."""
    name = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", Path(checkpoint).absolute().name)
    for ending in (
        ".tar",
        ".pth",
        ".pt",
        ".bin",
        ".safetensors",
        ".pdparams",
        ".keras",
        ".h5",
        ".weights",
        ".pb",
        ".ckpt",
    ):
        name = name.removesuffix(ending)
    return Path(root) / f"{name}-imported"


def import_checkpoint(
    path: str | Path,
    folder: str | Path,
    *,
    dataset: Dataset | Callable[[tuple[str, ...]], Dataset],
    model: str | None = None,
    width: float | None = None,
    num_classes: int | None = None,
    identity_tensor_multiplier: float = 1.0,
    input_size: int | None = None,
    crop_fraction: float | None = None,
    interpolation: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    entry: str | None = None,
    drop_background: bool = False,
    class_names: Sequence[str] | None = None,
    force: bool = False,
) -> Run:
    """Create the run folder `folder` from the checkpoint `path`; an existing, identical import is kept.

    Args:
      path: the file; of a checkpoint of TensorFlow its prefix, any of its files, or the folder with them.
      dataset: images to verify and calibrate exports on, or a function that opens them given the class names.
      model, width, num_classes: checked against the file; None accepts what it contains.
      identity_tensor_multiplier: of `mnext`; weights do not show it.
      input_size, crop_fraction, interpolation: replace the publisher's preprocessing.
      mean, std: replace its pixel normalization; red, green, blue in units of [0, 255].
      entry: the state dict to use from a file that contains several.
      drop_background: remove class 0 of 1001.
      class_names: in order of the logits; None names 1000 classes as in ImageNet.
      force: write the weights again.

    Raises CheckpointError if the file contains no supported network, and ConfigError if it contains another than the
    expected one or `folder` contains something else. Nothing is written then.
    """
    _check_units(mean, std)
    checkpoint = read_checkpoint(path, entry)
    if drop_background:
        checkpoint = without_background(checkpoint)
    found = recognize(checkpoint, model=model, width=width)
    if num_classes not in (None, found.num_classes):
        raise ConfigError(_other_classes(checkpoint, found.num_classes, num_classes))
    names = _class_names(checkpoint.path, found, class_names)
    preprocess = found.preprocess.changed(
        input_size=input_size, crop_fraction=crop_fraction, interpolation=interpolation
    )
    model_config = ModelConfig(
        found.model,
        num_classes=found.num_classes,
        width=found.width,
        input_size=preprocess.input_size,
        identity_tensor_multiplier=identity_tensor_multiplier,
        options=found.options,
        priors=found.priors,
        **_normalization(found, mean, std),
    )
    config = RunConfig(
        model=model_config,
        task="detection" if found.priors else "classification",
        detection=DETECTION_SETTINGS[found.priors] if found.priors else None,
        init="imported",
        dataset=DatasetConfig.of(dataset(names) if callable(dataset) else dataset),
        class_names=names,
        preprocess=preprocess,
        recipe=None,
        verify_images=images_to_verify("imported", model_config),
        source=ImportSource(
            file=checkpoint.path.name,
            sha256=_sha256(checkpoint.files),
            bytes=sum(file.stat().st_size for file in checkpoint.files),
            format=checkpoint.format,
            naming=found.publisher,
            entry=checkpoint.entry,
            drop_background=drop_background,
            notes=tuple(found.notes),
        ),
    )

    network = config.model.create()
    assign(
        network,
        background_first(checkpoint.tensors),
        targets_of(network, checkpoint),
        unused=unused_names(checkpoint.tensors),
    )
    run = _same_run(Path(folder), config) or create_run(Path(folder), config)

    def build(stage: Path) -> dict:
        save_weights(network, stage / "model.weights.h5")
        return {"tensors": len(checkpoint.tensors), "parameters": count_parameters(network)}

    settings = {"model": run.config.model.to_dict(), "entry": checkpoint.entry, "drop_background": drop_background}
    inputs = {"checkpoint": checkpoint.files[0], **{file.suffix[1:]: file for file in checkpoint.files[1:]}}
    run_stage(run, "import", inputs=inputs, settings=settings, build=build, force=force)
    return run


def _sha256(files: Sequence[Path]) -> str:
    """Of a file, or of several without their names."""
    return sha256(files[0]) if len(files) == 1 else sha256_of([sha256(file) for file in files])


def _check_units(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """ConfigError for values in units of [0, 1]."""
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and any(values) and max(abs(v) for v in values) <= 1:
            scaled = ", ".join(f"{255 * v:g}" for v in values)
            raise ConfigError(
                f"{name} {', '.join(f'{v:g}' for v in values)} is in units of [0, 1]; units of [0, 255] are "
                f"expected. Multiply by 255: {scaled}."
            )


def _normalization(found: Recognized, mean: Sequence[float] | None, std: Sequence[float] | None) -> dict:
    """`mean` and `std` if they differ from the network's own."""
    network = ModelConfig(found.model, options=found.options, priors=found.priors)
    own = dict(zip(("mean", "std"), network.normalization, strict=True))
    given = {k: tuple(float(v) for v in values) for k, values in (("mean", mean), ("std", std)) if values is not None}
    return {k: values for k, values in given.items() if tuple(values) != tuple(own[k])}


def _other_classes(checkpoint: Checkpoint, has: int, asked: int) -> str:
    if (has, asked) == (1001, 1000):
        fix = "Add --drop_background to remove class 0, background; or remove --num_classes."
    else:
        fix = "Remove --num_classes; another number needs training: python -m pipelines.train --init=RUN"
    return f"{checkpoint.path} has {has} classes; num_classes={asked} was given. {fix}"


def _class_names(path: Path, found: Recognized, given: Sequence[str] | None) -> tuple[str, ...]:
    num_classes = found.num_classes
    if given is not None:
        if len(given) != num_classes:
            raise ConfigError(f"{len(given)} class names were given; {path} has {num_classes} classes.")
        return tuple(given)
    known = detection_classes if found.priors else imagenet
    return known.names_for(num_classes) or tuple(f"class {i}" for i in range(num_classes))


def _same_run(folder: Path, config: RunConfig) -> Run | None:
    """The run in `folder` if it is the same import, None if there is none; ConfigError for anything else."""
    if not (folder / "config.json").exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not a run folder, and not empty. Choose another --out.")
        return None
    run = open_run(folder)
    if not run.imported:
        raise ConfigError(
            f"{folder} contains a run that was not imported (init={run.config.init}). Choose another --out."
        )
    for key in _IDENTITY:
        has, wanted = getattr(run.config, key), getattr(config, key)
        if key == "source":  # file name and wording of notes do not matter
            has, wanted = ([getattr(source, k) for k in _SOURCE] for source in (has, wanted))
        if has != wanted:
            what = "another checkpoint" if key == "source" else f"this checkpoint with another {key}"
            raise ConfigError(
                f"{folder} contains {what} ({run.config.source.file}). Choose another --out, or delete the folder."
            )
    return run
