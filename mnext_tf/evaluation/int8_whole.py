"""The logits of a file against those of its float network, on the same images."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from mnext_tf.compression.post_training import sqnr
from mnext_tf.tasks.classification import accuracy_drop_interval, mcnemar_p, wilson_interval

_RESAMPLES = 2000


def compare_logits(found: np.ndarray, expected: np.ndarray, labels: np.ndarray | None = None) -> dict:
    """Logits `found` of a file and `expected` of its float network, (n, classes); labels (n,), or None.

    Returns a dict; every `*_interval` holds at 95 %, and shares are 0 to 1:
      images; sqnr_db, the square of the float logits over that of the difference, with sqnr_db_interval, a bootstrap
      over images; top1_agreement (Wilson); confidence and float_confidence, the mean largest probability, and
      confidence_change, their difference; cross_entropy, the mean of -sum(float probability * log(file's probability))
      in nats, and entropy, which a file of the same probabilities would have.
    With labels also: accuracy, float_accuracy (Wilson); lost and gained, images that only the float network, or only
      the file, gets right; accuracy_drop in points, with its exact paired interval; mcnemar_p (exact, two-sided).
    """
    top, float_top = found.argmax(1), expected.argmax(1)
    logs, float_logs = (log_softmax(logits.astype(np.float64), axis=1) for logits in (found, expected))
    shares, float_shares = np.exp(logs), np.exp(float_logs)
    agreement, n = float((top == float_top).mean()), len(found)
    confidence, float_confidence = (float(s.max(1).mean()) for s in (shares, float_shares))
    result = {
        "images": n,
        "sqnr_db": sqnr(found, expected),
        "sqnr_db_interval": sqnr_interval(found, expected),
        "top1_agreement": agreement,
        "top1_agreement_interval": wilson_interval(agreement, n),
        "confidence": confidence,
        "float_confidence": float_confidence,
        "confidence_change": confidence - float_confidence,
        "cross_entropy": -float((float_shares * logs).sum(1).mean()),
        "entropy": -float((float_shares * float_logs).sum(1).mean()),
    }
    return result if labels is None else result | _against_labels(top == labels, float_top == labels)


def _against_labels(right: np.ndarray, was_right: np.ndarray) -> dict:
    counts = {
        "lost": int((was_right & ~right).sum()),
        "gained": int((right & ~was_right).sum()),
        "images": len(right),
    }
    accuracy, before = float(right.mean()), float(was_right.mean())
    return {
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(accuracy, len(right)),
        "float_accuracy": before,
        "float_accuracy_interval": wilson_interval(before, len(right)),
        "lost": counts["lost"],
        "gained": counts["gained"],
        "accuracy_drop": 100 * (before - accuracy),
        "accuracy_drop_interval": accuracy_drop_interval(counts),
        "mcnemar_p": mcnemar_p(counts["lost"], counts["gained"]),
    }


def sqnr_interval(found: np.ndarray, expected: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of `sqnr` over images: percentiles of a bootstrap."""
    signal = np.square(expected, dtype=np.float64).sum(1)
    noise = np.square(found - expected, dtype=np.float64).sum(1)
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(signal), size=len(signal)) for _ in range(_RESAMPLES))
    ratios = [signal[i].sum() / max(noise[i].sum(), 1e-30) for i in drawn]
    low, high = 10 * np.log10(np.maximum(np.percentile(ratios, (2.5, 97.5)), 1e-30))
    return float(low), float(high)
