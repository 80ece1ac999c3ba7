"""Which .tflite files a browser can show, and what a page has to know of each besides its content."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.data.sources.sample_images import sample_pixels
from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.export.app_assets import GPU_TOLERANCE, TOLERANCE, app_outputs, for_apps
from mnext_tf.export.stages import tflite
from mnext_tf.files import sha256
from mnext_tf.inference.predictor import Predictor, exports_of, format_of, open_predictor
from mnext_tf.inference.sidecars import decoding_of
from mnext_tf.inference.tflite import (
    dequantize_array,
    describe_ends,
    named_outputs,
    quantize_array,
)
from mnext_tf.naming import PRECISIONS, SSDLITE, command_line, distinct_names, network_of, precision_of
from mnext_tf.runs.run import Run
from mnext_tf.tflite.metadata import Metadata, read_metadata

_log = logging.getLogger(__name__)

TAKES, GIVES = ("float32", "uint8"), ("float32", "uint8", "int32")  # what LiteRT.js hands to a network, and takes of it


@dataclass(frozen=True)
class PageModel:
    """A file that a browser can show. files: path on the page to content; about: its entry in models.json."""

    name: str
    about: dict
    files: dict[str, Path | bytes]


@dataclass(frozen=True)
class Refused:
    """A file that it cannot show: why, and the command that makes one that it can."""

    name: str
    why: str
    command: str = ""


def files_of_run(run: Run) -> tuple[list[Path], list[Refused]]:
    """The .tflite files of a run that a browser can show; what is refused besides has no form that it can.

    Of each precision that the run was exported with, the form for apps is shown: int8 files always, others where they
    were exported in it. What is missing, or is not of the weights that the run holds now, is made first.
    Raises ConfigError where nothing was exported.
    """
    stages_made = [precision_of(stage) for stage, _ in exports_of(run) if format_of(stage) == "tflite"]
    exported = [precision for precision in PRECISIONS if precision in dict(stages_made)]
    if not exported:
        command = command_line("export_tflite", {"run": run.folder})
        raise ConfigError(f"{run.folder} has no .tflite file yet; `{command}` exports one.")
    files, refused = [], []
    for precision in exported:
        try:
            if precision == "int8" or any((precision, output) in stages_made for output in app_outputs(run)):
                _log.info(f"{run.name}: {precision} in the form for apps")
                stage = for_apps(run, precision, output=app_outputs(run)[-1])
            else:
                stage = tflite(run, precision)
            files.append(stage.folder / stage.result["file"])
        except MnextError as e:
            command = command_line(
                "export_tflite", {"run": run.folder, "quantize": precision, "output": app_outputs(run)[-1]}
            )
            refused.append(Refused(f"{run.name}, {precision}", str(e), command))
    return files, refused


def page_models(paths: Sequence[Path]) -> tuple[list[PageModel], list[Refused]]:
    """Those of the files that a browser can show, in their order, and the others. Raises ConfigError for no file."""
    shown, refused = [], []
    runs = list(dict.fromkeys(filter(None, map(_run_of, paths))))
    run_names = dict(zip(runs, distinct_names(runs), strict=True))
    for number, path in enumerate(map(Path, paths)):
        if not path.is_file():
            raise ConfigError(f"{path} does not exist, or is no file.")
        name = _distinct(re.sub(r"[^\w.+-]", "_", path.stem), [model.name for model in shown])
        try:
            if reason := _reason_against(describe_ends(path)):
                refused.append(Refused(path.name, reason, _better_export(path)))
                continue
            with open_predictor(path) as network:
                model = _page_model(name, f"models/{number}/", path, network)
            model.about["run"] = run_names.get(_run_of(path), "")
            shown.append(model)
        except MnextError as e:
            refused.append(Refused(path.name, str(e)))
    for what in ("run", "name"):
        _tell_apart([model.about for model in shown], what)
    return shown, refused


def _run_of(path: Path) -> Path | None:
    """The folder of the run that exported a file."""
    folder = Path(path).absolute().parent.parent
    return folder if (folder / "config.json").is_file() else None


def _tell_apart(entries: Sequence[dict], what: str) -> None:
    """Put `what` behind those titles that several have."""
    counts = Counter(entry["title"] for entry in entries)
    for entry in entries:
        if counts[entry["title"]] > 1 and entry[what]:
            entry["title"] += f" ({entry[what]})"


def _reason_against(ends: dict) -> str:
    """Why LiteRT.js does not run a file with such ends; "" where it does."""
    if ends["input"]["dtype"] not in TAKES:
        return f"it takes {ends['input']['dtype']}; LiteRT.js hands over {' or '.join(TAKES)}"
    others = {end["dtype"] for end in ends.get("outputs", {"": ends["output"]}).values()} - {*GIVES}
    return f"it gives {', '.join(sorted(others))}; LiteRT.js takes {', '.join(GIVES)}" if others else ""


def _better_export(path: Path) -> str:
    """The command that exports what a file computes in the form for apps."""
    network = network_of(path.stem)
    run = _run_of(path)
    if run is None:
        return ""
    precision = network.precision if network else "int8"
    output = "anchors" if network and network.model.endswith(SSDLITE) else "probabilities"
    return command_line("export_tflite", {"run": run, "quantize": precision, "output": output})


def _distinct(name: str, taken: Sequence[str]) -> str:
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, 1000))) if n not in taken)


def _page_model(name: str, folder: str, path: Path, network: Predictor) -> PageModel:
    about = read_metadata(path) or Metadata()
    ends = describe_ends(path)
    outputs = [{"name": n, **end} for n, end in ends.get("outputs", {"output": ends["output"]}).items()]
    pixels = sample_pixels(network.preprocess)
    golden = run_file(path, about.normalize(pixels) if not about.feeds_pixels else pixels.astype(np.float32))
    files: dict[str, Path | bytes] = {
        f"{folder}{name}.tflite": path,
        f"{folder}golden.rgb": pixels.tobytes(),
        f"{folder}golden.f32": b"".join(array.astype("<f4").tobytes() for array in golden.values()),
    }
    if network.task.name == "detection":
        files[f"{folder}priors.f32"] = np.asarray(_priors(network), "<f4").tobytes()
    decoding = decoding_of(path, about)
    named = network_of(path.stem)
    entry = {
        "name": name,
        "title": _title(path.stem, about),
        "network": path.stem if named else "",
        "precision": named.precision if named else "",
        "input_size": network.input_size,
        "task": network.task.name,
        "gives": network.output,
        "file": f"{folder}{name}.tflite",
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "input": ends["input"],
        "outputs": [{**end, "name": n} for end, n in zip(outputs, golden, strict=True)],
        "normalization": {"mean": about.mean, "std": about.std},
        "preprocess": network.preprocess.to_dict(),
        "labels": network.labels,
        "detector": decoding.to_dict() if decoding else None,
        "priors": f"{folder}priors.f32" if network.task.name == "detection" else None,
        "golden": {
            "input": f"{folder}golden.rgb",
            "output": f"{folder}golden.f32",
            "lengths": [int(array.size) for array in golden.values()],
            "tolerance": _tolerance(network, golden, *TOLERANCE),
            "gpu_tolerance": _tolerance(network, golden, *GPU_TOLERANCE),
        },
    }
    return PageModel(name, entry, files)


def _tolerance(network: Predictor, golden: dict[str, np.ndarray], absolute: float, relative: float) -> float:
    """Of an output's range, how far a browser may be from Python: as apps may be."""
    if network.output != "probabilities":
        return relative
    return min(relative, absolute / max(float(np.max(next(iter(golden.values())))), absolute))


def _priors(network: Predictor) -> np.ndarray:
    """Center form (priors, 4), as the page decodes with them; none where a file gives boxes."""
    decoding = getattr(network.function, "decoding", None)
    if decoding is None:
        return network.task.priors
    return network.function._priors if decoding.form == "two" else np.zeros((0, 4), np.float32)


def _title(name: str, about: Metadata) -> str:
    network = network_of(name)
    if network:
        variant = network.variant.replace("probabilities", "").replace("anchors", "").strip("_")
        return f"{network.title}, {network.input_size} px, {network.precision} {variant}".strip()
    return about.name or name


def run_file(path: Path, values: np.ndarray) -> dict[str, np.ndarray]:
    """Every output of a file, float32 by name, for one input (S, S, 3) as the file takes it, before quantization."""
    from mnext_tf.tflite.operators import open_interpreter

    interpreter = open_interpreter(path)
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], quantize_array(values, detail)[None])
    interpreter.invoke()
    return {
        name: dequantize_array(interpreter.get_tensor(end["index"]), end) for name, end in named_outputs(interpreter)
    }
