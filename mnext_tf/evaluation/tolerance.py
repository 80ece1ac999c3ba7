"""What a quantized network may lose."""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.errors import ConfigError


@dataclass(frozen=True)
class Tolerance:
    """What a quantized network may lose.

    Of an untrained network only `max_untrained_difference` is asked: sixty random layers amplify the
    rounding of each, so that it only tells this network from another one.
    """

    max_accuracy_drop: float = 1.0  # percentage points
    min_agreement: float = 0.9  # share of images with the same top-1
    max_untrained_difference: float = 0.5  # largest difference over the largest logit

    def __post_init__(self):
        if not 0 <= self.max_accuracy_drop <= 100:
            raise ConfigError(
                f"max_accuracy_drop must be 0 to 100 percentage points; received {self.max_accuracy_drop}."
            )
        if not 0 <= self.min_agreement <= 1:
            raise ConfigError(f"min_agreement must be a share from 0 to 1; received {self.min_agreement}.")
