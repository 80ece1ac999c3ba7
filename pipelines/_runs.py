"""The flags by which a command finds the run that it works on."""

from __future__ import annotations

from absl import flags

from mnext_tf.errors import ConfigError
from mnext_tf.models import check_model_arguments, list_models

RUN = flags.DEFINE_string("run", None, "Run folder. Without it: the newest trained run under --runs_root.")
RUNS_ROOT = flags.DEFINE_string("runs_root", "runs", "Where run folders are.")
INIT = flags.DEFINE_enum(
    "init", "trained", ["trained", "random"], "random: an untrained network, good for latency; takes the flags below."
)
MODEL = flags.DEFINE_enum("model", None, list_models(), "Network of --init=random. Without it: mnext.")
WIDTH = flags.DEFINE_float("width", None, "Width multiplier of --init=random. Without it: 1.")
INPUT_SIZE = flags.DEFINE_integer("input_size", None, "Input size of --init=random. Without it: 224.")
NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "Classes of --init=random. Without it: 1000.")
IDENTITY = flags.DEFINE_float("identity_tensor_multiplier", None, "Shortcut share 1/k of --init=random. Without it: 1.")
CACHE_DIR = flags.DEFINE_string("cache_dir", "data", "Where prepared data is kept.")
FORCE = flags.DEFINE_bool("force", False, "Redo the stage even if nothing has changed.")

_RANDOM_ONLY = (MODEL, WIDTH, INPUT_SIZE, NUM_CLASSES, IDENTITY)


def select_run():
    """The run that the flags name. Raises ConfigError, with the command that makes one, where there is none."""
    given = {f.name: f.value for f in _RANDOM_ONLY if f.value is not None}
    if INIT.value == "trained":
        from mnext_tf.runs.run import latest_run, open_run
        from mnext_tf.runs.weights import require_weights

        if given:
            raise ConfigError(
                f"--{next(iter(given))} belongs to --init=random; a trained run says itself what its network is. "
                "Choose it by --run."
            )
        run = open_run(RUN.value) if RUN.value else latest_run(RUNS_ROOT.value)
        require_weights(run)
        return run

    if RUN.value:
        raise ConfigError("--run names a run that exists, --init=random makes one; give one of the two.")
    arguments = {
        "model": "mnext",
        "width": 1.0,
        "input_size": 224,
        "num_classes": 1000,
        "identity_tensor_multiplier": 1.0,
        **given,
    }
    name = arguments.pop("model")
    check_model_arguments(name, **arguments)

    from mnext_tf.export import create_random_run

    parts = [name, f"{arguments['width']}", str(arguments["input_size"])]
    if arguments["identity_tensor_multiplier"] != 1:
        parts.append(f"id{arguments['identity_tensor_multiplier']:g}")
    if arguments["num_classes"] != 1000:
        parts.append(f"{arguments['num_classes']}classes")
    folder = f"{RUNS_ROOT.value}/untrained/{'_'.join(parts)}"
    return create_random_run(folder, {"name": name, **arguments}, cache_dir=CACHE_DIR.value)
