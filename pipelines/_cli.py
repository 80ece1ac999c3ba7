"""What every command shares: flags that answer at once, errors a user can read."""

from __future__ import annotations

import errno
import importlib.abc
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.quiet import quiet_stderr

_resume_hint = "run the same command again"

flags.DEFINE_bool("help", False, "Show this help.", short_name="h")


def run(main: Callable[[], int | None]) -> None:
    """Parse the flags, call `main()`, and leave with 0 (done), 1 (error), 2 (wrong flag) or 130 (ctrl-C, SIGTERM).

    TensorFlow must not have been imported before: `--help` and a wrong flag answer within a second.
    """
    module = sys.modules["__main__"]
    flags.FLAGS.set_default("help", False)
    try:
        rest = flags.FLAGS(sys.argv)[1:]
        if rest:
            raise flags.Error(f"unexpected argument {rest[0]!r}; every argument is a flag, written --name=value.")
    except flags.Error as e:
        names = " ".join(f"--{f.name}" for f in _key_flags())
        sys.exit(_complain(f"{_plainly(e)}\nFlags of {_command(module)}: {names}\nMore: {_command(module)} --help", 2))
    if flags.FLAGS.help:
        print(_help(module))
        sys.exit(0)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported
    sys.meta_path.insert(0, _QuietTensorFlow())
    logger = logging.getLogger("mnext_tf")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_ConsoleHandler()]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as ctrl-C: half-written files are removed
    try:
        sys.exit(main() or 0)
    except MnextError as e:
        sys.exit(_complain(str(e), 1))
    except KeyboardInterrupt as e:
        sys.exit(_complain(f"{str(e) or 'Interrupted.'} {_resume_hint[0].upper()}{_resume_hint[1:]} to resume.", 130))
    except Exception as e:
        # TensorFlow and HDF5 wrap the system's error in types of their own.
        if isinstance(e, OSError) or "No space left on device" in str(e):
            sys.exit(_complain(_explain(e), 1))
        raise


class _QuietTensorFlow(importlib.abc.MetaPathFinder):
    """Mutes standard error while TensorFlow is imported and looks for GPUs: no variable silences what it says there."""

    def find_spec(self, name, path, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def muted(module):
            with quiet_stderr():
                load(module)
                module.get_logger().setLevel("ERROR")  # it warns of every network that is compiled after a few
                module.config.list_physical_devices("GPU")  # a broken CUDA driver complains here, once

        spec.loader.exec_module = muted
        return spec


def resume_with(command: str) -> None:
    """From here on an error or ctrl-C names `command` as that which goes on, not the same command again."""
    global _resume_hint
    _resume_hint = f"run {command}"


class _ConsoleHandler(logging.Handler):
    """Log records on standard error, above any progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + record.getMessage(), file=sys.stderr)


def log(text: str) -> None:
    """A line of progress, above any progress bar."""
    logging.getLogger("mnext_tf").info(text)


def whole_numbers(flag: str, values: list) -> tuple[int, ...]:
    """A list flag's values. Raises ConfigError for anything else."""
    try:
        return tuple(int(value) for value in values)
    except ValueError:
        raise ConfigError(f"--{flag} takes whole numbers with commas between; received {','.join(values)!r}.") from None


def numbers(flag: str, values: list) -> tuple[float, ...]:
    """As `whole_numbers`, of any numbers."""
    try:
        return tuple(float(value) for value in values)
    except ValueError:
        raise ConfigError(f"--{flag} takes numbers with commas between; received {','.join(values)!r}.") from None


def data_source(data_dir: str | None, dataset: str | None) -> Path | str | None:
    """What the two flags name, as `open_dataset` takes it. Raises ConfigError for both, and for an unknown data set."""
    from mnext_tf.data.opening import EMBEDDED

    if data_dir and dataset:
        raise ConfigError("--data_dir and --dataset both name the data; give one of the two.")
    if dataset and not dataset.startswith("tfds:") and dataset not in EMBEDDED:
        raise ConfigError(
            f"--dataset must be tfds:NAME, for example tfds:tf_flowers, or one of {', '.join(EMBEDDED)}; received "
            f"{dataset!r}."
        )
    return dataset or (Path(data_dir) if data_dir else None)


def bounds_text(bounds: dict[str, float]) -> str:
    """max_accuracy_drop=1, min_agreement=0.9: what a check required."""
    return ", ".join(f"{name}={value:g}" for name, value in bounds.items())


def _complain(text: str, code: int) -> int:
    print(f"error: {text}" if code != 130 else text, file=sys.stderr)
    return code


def _explain(e: Exception) -> str:
    code, where = getattr(e, "errno", None), f" {e.filename}" if getattr(e, "filename", None) else ""
    if code in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(e):
        return (
            f"The disk is full while writing{where}. Free some space, or choose another disk, and {_resume_hint}; "
            "nothing half-written is left."
        )
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"No permission to use{where} ({e.strerror}). Choose another folder, or change its permissions."
    return f"{getattr(e, 'strerror', None) or e}{where}"


def _plainly(e: flags.Error) -> str:
    """Python's words for a number that is none, in a user's."""
    text = str(e).replace("invalid literal for int() with base 10: ", "must be a whole number, not ")
    return text.replace("could not convert string to float: ", "must be a number, not ")


def _command(module) -> str:
    spec = getattr(module, "__spec__", None)
    return f"python -m {spec.name}" if spec else sys.argv[0]


def _key_flags():
    own = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return [f for f in own if f.name != "help"]


def _help(module) -> str:
    lines = [f"{_command(module)}: {(module.__doc__ or '').strip()}", "", "Flags:"]
    for flag in _key_flags():
        default = "" if flag.default in (None, "") else f" (default: {flag.default_as_str.strip(chr(39))})"
        lines.append(f"  --{flag.name}: {flag.help}{default}")
    return "\n".join(lines)
