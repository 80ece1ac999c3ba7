"""What a checkpoint holds of a training: every variable that a step changes, by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnext_tf.errors import CheckpointError


class State:
    """The variables of a training, in named lists.

    Names stay the same from one process to the next; a number in front keeps them apart.
    """

    def __init__(self, **variables: Sequence):
        self._variables = variables

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.array(v) for name, v in self._named()}

    def restore(self, arrays: dict[str, np.ndarray], folder: Path) -> None:
        """Assign what `arrays` returned. Raises CheckpointError where it is of another network or optimizer."""
        for name, variable in self._named():
            value, shape = arrays.get(name), tuple(variable.shape)
            if value is None or value.shape != shape:
                got = "is missing" if value is None else f"has shape {value.shape}, not {shape}"
                raise CheckpointError(
                    f"The checkpoint in {folder} belongs to another network: {name} {got}. "
                    "config.json was changed after training began; restore it or start a new run."
                )
            variable.assign(value)

    def _named(self):
        for prefix, variables in self._variables.items():
            for i, v in enumerate(variables):
                path = getattr(v, "path", v.name)
                yield f"{prefix}/{i:04d}/{path.split('/', 1)[-1]}", v
