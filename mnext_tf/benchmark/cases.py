"""The .tflite files of a benchmark: of untrained networks, of runs, and any others."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mnext_tf.benchmark.keras_networks import export_keras_network
from mnext_tf.benchmark.settings import Settings, untrained_classes
from mnext_tf.benchmark.timing import Case
from mnext_tf.export import export_tflite
from mnext_tf.files import atomic_folder, sha256, sha256_of, write_json
from mnext_tf.models import has_identity_tensor_multiplier
from mnext_tf.models.config import ModelConfig
from mnext_tf.naming import KERAS, SSDLITE, Network, distinct_names, full_name_of, network_name, network_of, stage_name
from mnext_tf.runs.run import Run, open_run
from mnext_tf.runs.stages import is_current
from mnext_tf.runs.weights import require_weights
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.tflite.operators import size_and_precision
from mnext_tf.training.random_weights import create_random_run

NO_ACCURACY_LIMIT = Tolerance(max_accuracy_drop=100, min_agreement=0)


def make_cases(models_dir: Path, settings: Settings, *, cache_dir: Path | str, force: bool) -> list[Case]:
    """The files to time, exported where missing. The first network named comes first in every group: those of one
    width, input size, precision, and processor; runs of any width are one group."""
    cases = []
    for name, network, export in _sources(models_dir, settings, cache_dir, force):
        width = () if settings.runs else (network.width,)
        for precision in settings.precisions:
            file, check = export(precision)
            what = dataclasses.replace(network, precision=precision)
            among = (*width, network.input_size, precision)
            cases += [Case(what, file, n, on, name, check, among) for on, n in settings.processors]
    return cases + file_cases(map(Path, settings.files), settings.processors, beside=cases)


def file_cases(
    files: Iterable[Path], processors: Iterable[tuple[str, int]], *, beside: Sequence[Case] = ()
) -> list[Case]:
    """.tflite files as they are, by the names of the files, or by their paths where two have one name.

    Each joins the group of the case in `beside` that has its input size and precision (and its width, where its name
    tells it and several have been asked for); those without one are a group of their own.
    """
    files = list(files)
    counts = Counter(file.stem for file in files)
    named = [(file.stem if counts[file.stem] == 1 else str(file), file, network_of(file.stem)) for file in files]
    groups = {file: _group(file, network, beside) for _, file, network in named}
    return [
        Case(network, file, n, on, name, among=groups[file]) for on, n in processors for name, file, network in named
    ]


def _group(file: Path, network: Network | None, beside: Sequence[Case]) -> tuple:
    if not beside:
        return ()
    kind = (network.input_size, network.precision) if network else size_and_precision(file)
    same = [case for case in beside if (case.network.input_size, case.network.precision) == kind]
    wide = [case for case in same if network and case.network.width == network.width]
    return next((case.among for case in [*wide, *same]), ())


Export = Callable[[str], tuple[Path, str]]  # precision -> file, and how its accuracy was checked


def _sources(
    models_dir: Path, settings: Settings, cache_dir: Path | str, force: bool
) -> Iterator[tuple[str, Network, Export]]:
    """Name, network (its precision is open), and export of the runs, or of the untrained networks."""
    runs = [open_run(Path(folder)) for folder in settings.runs]
    for name, run in zip(distinct_names([run.folder for run in runs]), runs, strict=True):
        model = run.config.model
        network = Network(full_name_of(model), model.width, model.identity_tensor_multiplier, model.input_size, "")
        yield name, network, _export_of_run(run, models_dir, force)
    for input_size, width, name in itertools.product(settings.input_sizes, settings.widths, settings.networks):
        share = settings.identity_tensor_multiplier if has_identity_tensor_multiplier(name) else 1.0
        shown = name + (SSDLITE if settings.priors else "")
        folder = models_dir / network_name(shown, width, share, input_size)
        network = Network(shown, width, share, input_size, "")
        yield "", network, _export_of_untrained(network, folder, cache_dir, force)


def _export_of_untrained(network: Network, folder: Path, cache_dir: Path | str, force: bool) -> Export:
    name, width, size = network.model, network.width, network.input_size
    if name.startswith(KERAS):
        return lambda precision: (
            export_keras_network(name, folder, precision, width=width, input_size=size, force=force),
            "untrained",
        )
    detector = {"priors": "voc", "num_classes": untrained_classes(name)} if name.endswith(SSDLITE) else {}
    name = name.removesuffix(SSDLITE)
    model = ModelConfig(name, width=width, input_size=size, identity_tensor_multiplier=network.share, **detector)
    run = create_random_run(folder, model, cache_dir=cache_dir, force=force)
    return lambda precision: (export_tflite(run, precision, force=force), "untrained")


def _export_of_run(run: Run, models_dir: Path, force: bool) -> Export:
    def export(precision: str) -> tuple[Path, str]:
        stage = stage_name(precision)
        if is_current(run, stage):
            file = run.stage(stage) / run.manifest(stage).result["file"]
            return file, "passed" if run.trained else "untrained"
        copy = copy_for_timing(run, models_dir)
        file = export_tflite(copy, precision, tolerance=NO_ACCURACY_LIMIT, force=force)
        return file, "not checked" if run.trained else "untrained"

    return export


def copy_for_timing(run: Run, models_dir: Path) -> Run:
    """A run folder with the weights of `run` and what was made from them up to the frozen graph."""
    weights = require_weights(run)
    key = sha256_of({"config": run.config.to_dict(), "weights": sha256(weights)})[:8]
    folder = models_dir / f"{run.folder.resolve().name}-{key}"
    if not (folder / "config.json").is_file():
        with atomic_folder(folder) as temporary:
            kept = temporary / weights.parent.name
            kept.mkdir()
            for file in (weights, weights.with_name("manifest.json")):  # not the checkpoints
                shutil.copy2(file, kept)
            for stage in ("reference", "saved_model", "frozen"):
                if is_current(run, stage):
                    shutil.copytree(run.stage(stage), temporary / stage)
            write_json(temporary / "config.json", run.config.to_dict())
    return open_run(folder)
