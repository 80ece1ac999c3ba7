"""The flags that name networks in any of their forms."""

from __future__ import annotations

from absl import flags

from mnext_tf.data.preprocess import INTERPOLATIONS, Preprocess
from mnext_tf.errors import ConfigError
from pipelines import _flags

RUN = flags.DEFINE_list("run", [], "Run folders: their Keras networks. Without any network: the newest run's.")
EXPORTS = flags.DEFINE_bool("exports", False, "With --run, everything that the runs have exported, too.")
TFLITE = flags.DEFINE_list("tflite", [], "TFLite files, with commas between.")
SAVED_MODEL = flags.DEFINE_list("saved_model", [], "Folders of SavedModels.")
FROZEN = flags.DEFINE_list("frozen", [], "Frozen graphs.")
LABELS = flags.DEFINE_string("labels", None, "Class names, one a line, for files that have no labels.txt beside them.")
INPUT_SIZE = flags.DEFINE_integer("input_size", None, "Pixels that a file takes, where it has no preprocess.json.")
CROP = flags.DEFINE_float("crop_fraction", None, "Share of the short side that is cropped; else preprocess.json's.")
INTERPOLATION = flags.DEFINE_enum("interpolation", None, INTERPOLATIONS, "Resizing; else preprocess.json's.")
RUNS_ROOT = _flags.runs_root()
CACHE_DIR = _flags.cache_dir()
MAX_MEGAPIXELS = _flags.max_megapixels()


def named_runs() -> list:
    """Those of --run; the newest where no network of any form is named."""
    from mnext_tf.runs.run import latest_run, open_run

    if not (RUN.value or TFLITE.value or SAVED_MODEL.value or FROZEN.value):
        return [latest_run(RUNS_ROOT.value)]
    return [open_run(folder) for folder in RUN.value]


def open_networks(runs: list) -> list:
    """The networks that the flags name, Keras ones first, open. ConfigError for flags that do not fit together."""
    from mnext_tf.inference.predictor import open_exports, open_predictor
    from mnext_tf.inference.sidecars import read_labels

    files = [(flag.name, path) for flag in (SAVED_MODEL, FROZEN, TFLITE) for path in flag.value]
    overridden = [f.name for f in (LABELS, INPUT_SIZE, CROP, INTERPOLATION) if f.value is not None]
    if overridden and runs:
        raise ConfigError(f"--{overridden[0]} is for files by themselves; a run says itself how it preprocesses.")
    preprocess = {f.name: f.value for f in (INPUT_SIZE, CROP, INTERPOLATION) if f.value is not None}
    Preprocess(**preprocess)  # refuses what is out of range before anything is opened
    names = read_labels(LABELS.value) if LABELS.value else None
    networks = [open_predictor(run) for run in runs]
    networks += [network for run in runs if EXPORTS.value for network in open_exports(run)]
    given = {"preprocess": preprocess, "labels": names}
    return networks + [open_predictor(path, format=form, **given) for form, path in files]
