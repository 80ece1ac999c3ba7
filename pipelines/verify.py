"""Compare everything a run has exported with its Keras network, from the files as they are now.

python -m pipelines.verify --run=runs/... --max_accuracy_drop=0.5
python -m pipelines.verify --arm64=.environments/arm64
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError
from mnext_tf.inference.arm64 import check_root
from mnext_tf.tasks.tolerance import Tolerance
from pipelines import _cli, _flags, _runs

flags.adopt_module_key_flags(_runs)
MAX_DROP, MIN_AGREEMENT = _flags.tolerance()
MAX_IMAGES = flags.DEFINE_integer("max_images", None, "Validation images, at most. Without it: as at the export.")
ARM64 = flags.DEFINE_string(
    "arm64",
    None,
    "Folder made by `sh environments/arm64.sh`: TFLite files are also computed by a phone's kernels, under emulation.",
)
ARM64_IMAGES = flags.DEFINE_integer(
    "arm64_images", None, "Validation images for --arm64, at most. Without it: as many as take a minute or so."
)


def main() -> int | None:
    if MAX_IMAGES.value is not None and MAX_IMAGES.value < 1:
        raise ConfigError(f"--max_images must be at least 1; received {MAX_IMAGES.value}.")
    if ARM64_IMAGES.value is not None and ARM64.value is None:
        raise ConfigError("--arm64_images belongs to --arm64=FOLDER; `sh environments/arm64.sh` makes the folder.")
    if ARM64_IMAGES.value is not None and ARM64_IMAGES.value < 1:
        raise ConfigError(f"--arm64_images must be at least 1; received {ARM64_IMAGES.value}.")
    tolerance = Tolerance(MAX_DROP.value, MIN_AGREEMENT.value)
    root = check_root(Path(ARM64.value)) if ARM64.value is not None else None
    run = _runs.select_run()
    from mnext_tf.evaluation.verify_run import verify_run
    from mnext_tf.tasks import task_of

    verified = verify_run(
        run,
        tolerance,
        max_images=MAX_IMAGES.value,
        arm64=root,
        arm64_images=ARM64_IMAGES.value,
    )
    print(f"{run.folder}: {verified['images']} validation images, all compared with Keras")
    task = task_of(run.config)
    print(f"{'network':28}{task.metric_title:>10}{task.agreement_title:>12}{'largest difference':>20}{'relative':>10}")
    for name, m in verified["networks"].items():
        metric = "-" if m[task.metric] is None or not run.trained else f"{m[task.metric]:.2%}"
        print(
            f"{name:28}{metric:>10}{m[task.agreement]:>12.2%}"
            f"{_number(m['max_abs_difference'], 20, '.2e')}{_number(m['max_relative_difference'], 10, '.1e')}"
        )
    _print_arm64(verified.get("arm64", {}), task)
    for name, text in verified["failures"].items():
        print(f"FAILED {name}: {text}")
    for bounds, names in _by_bounds(verified["bounds"]).items():
        print(f"required of {', '.join(names)}: {bounds}")
    print(f"{'passed' if verified['passed'] else 'FAILED'}: {run.folder / 'verify.json'}")
    return 0 if verified["passed"] else 1


def _number(value: float | None, width: int, form: str) -> str:
    return f"{'-' if value is None else format(value, form):>{width}}"


def _by_bounds(required: dict) -> dict[str, list[str]]:
    """Bounds in words -> the networks that they were required of."""
    found = {}
    for name, bounds in required.items():
        found.setdefault(_cli.bounds_text(bounds), []).append(name)
    return found


def _print_arm64(files: dict, task) -> None:
    if not files:
        return
    about = next(iter(files.values()))["about"]
    print(f"by LiteRT {about['litert']}'s ARM64 kernels (under qemu), compared with this machine's results")
    print(f"{'file':28}{'images':>10}{task.agreement_title:>12}{'largest difference':>20}{'relative':>10}  allowed")
    for name, m in files.items():
        allowed = (
            f"{m['allowed']:.0e} relative" if m["allowed"] else f"{m['allowed_steps']} steps, found {m['steps']:g}"
        )
        print(
            f"{name:28}{m['images']:>10}{m[task.agreement]:>12.2%}"
            f"{m['max_abs_difference']:>20.2e}{m['max_relative_difference']:>10.1e}  {allowed}"
        )
        if "sparse_kernels" in m:
            print(f"  {m['zero_share']:.1%} of its 1x1 weights are zero; {_sparse_text(m)}")
        if m["first_difference"]:
            print(f"  it differs {m['first_difference']}")


def _sparse_text(m: dict) -> str:
    time = f"{m['time_ratio']:.2f} of the emulated time of the same file without zeros"
    if m["sparse_kernels"]:
        return f"XNNPACK's sparse kernels compute it, in {time}"
    return f"XNNPACK's sparse kernels do not compute it ({time}): see docs/pruning.md"


if __name__ == "__main__":
    _cli.run(main)
