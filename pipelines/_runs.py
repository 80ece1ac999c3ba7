"""The flags by which a command finds the run that it works on."""

from __future__ import annotations

from absl import flags

from mnext_tf.errors import ConfigError
from mnext_tf.models import list_models
from mnext_tf.models.config import ModelConfig
from mnext_tf.naming import network_name
from pipelines import _flags

RUN = flags.DEFINE_string("run", None, "Run folder. Without it: the newest trained run under --runs_root.")
RUNS_ROOT = _flags.runs_root()
INIT = flags.DEFINE_enum(
    "init", "trained", ["trained", "random"], "random: an untrained network, to measure latency; takes the flags below."
)
MODEL = flags.DEFINE_enum("model", None, list_models(), "Network of --init=random. Without it: mnext.")
WIDTH, INPUT_SIZE, OUTPUT_STRIDE, NUM_CLASSES, IDENTITY = (
    _flags.define(ModelConfig, f.name, f"{f.metadata['help']} With --init=random (default: {f.default}).")
    for f in map(
        ModelConfig.__dataclass_fields__.get,
        ("width", "input_size", "output_stride", "num_classes", "identity_tensor_multiplier"),
    )
)
WEIGHTS = flags.DEFINE_enum(
    "weights", None, ["raw", "ema"], "Weights of a run trained with --ema_decay. Without it: the better ones."
)
CACHE_DIR = _flags.cache_dir()
FORCE = flags.DEFINE_bool("force", False, "Run the stage again even if nothing has changed.")
KEEP_FAILED = flags.DEFINE_bool("keep_failed", False, "Keep a refused export, in a folder that ends in .failed.")

_RANDOM_ONLY = (MODEL, WIDTH, INPUT_SIZE, OUTPUT_STRIDE, NUM_CLASSES, IDENTITY)


def stage_options() -> dict:
    """What every exporting stage takes from the flags."""
    return {"force": FORCE.value, "keep_failed": KEEP_FAILED.value}


def select_run():
    """The run that the flags name. Raises ConfigError, with the command that makes one, where there is none."""
    given = {f.name: f.value for f in _RANDOM_ONLY if f.value is not None}
    if INIT.value == "trained":
        from mnext_tf.runs.run import latest_run, open_run
        from mnext_tf.runs.weights import require_weights

        if given:
            raise ConfigError(
                f"--{next(iter(given))} belongs to --init=random; a trained run has its network in its "
                "configuration. Choose the run with --run."
            )
        run = open_run(RUN.value) if RUN.value else latest_run(RUNS_ROOT.value)
        run = run.with_weights(WEIGHTS.value) if WEIGHTS.value else run
        require_weights(run)
        return run

    if WEIGHTS.value:
        raise ConfigError("--weights belongs to a trained run; leave it out with --init=random.")
    if RUN.value:
        raise ConfigError("--run names an existing run, --init=random creates one; give one of the two.")
    name = given.pop("model", "mnext")
    model = ModelConfig(name, **given)

    from mnext_tf.training.random_weights import create_random_run

    parts = [network_name(name, model.width, model.identity_tensor_multiplier, model.input_size)]
    if model.num_classes != ModelConfig.num_classes:
        parts.append(f"{model.num_classes}classes")
    if model.output_stride != ModelConfig.output_stride:
        parts.append(f"stride{model.output_stride}")
    folder = f"{RUNS_ROOT.value}/untrained/{'_'.join(parts)}"
    return create_random_run(folder, model, cache_dir=CACHE_DIR.value)
