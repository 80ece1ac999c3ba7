"""Errors that a user can mend. A command prints their text alone, without a traceback."""


class MnextError(Exception):
    """Base of all errors below; the text says what is wrong, what was allowed and how to mend it."""


class ConfigError(MnextError, ValueError):
    """A flag, field or argument is out of range, or two of them contradict each other."""


class DataError(MnextError):
    """The data set is missing, empty, damaged or does not fit the network."""


class CheckpointError(MnextError):
    """A checkpoint is missing, damaged, or belongs to another network."""


class ExportError(MnextError):
    """A conversion failed, or gave something that must not be shipped."""


class VerificationError(ExportError):
    """An exported file is not the network it came from."""


class TrainingError(MnextError):
    """Training cannot go on, for example because the loss is not a number."""


class WorkerLostError(TrainingError):
    """Another of several workers that train together is gone; resume together with it."""


def one_of(what: str, received, allowed, error=ConfigError) -> None:
    """Raise unless `received` is one of `allowed`; the text names both and the nearest match."""
    import difflib

    allowed = list(allowed)
    if received in allowed:
        return
    near = difflib.get_close_matches(str(received), [str(a) for a in allowed], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise error(f"{what} must be one of {', '.join(map(str, allowed))}; received {received!r}.{hint}")
