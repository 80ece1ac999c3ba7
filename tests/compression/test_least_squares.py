"""Weights that are rounded together lose less than weights that are rounded one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mnext_tf.compression.least_squares import Moments, fit, round_in_turn


@pytest.fixture
def data():
    """Correlated inputs (positions, groups, n), weights, and the outputs that they give with a bias of 2."""
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(4000, 2, 4)) @ rng.normal(size=(2, 4, 12)).transpose(0, 1, 2)[0]).astype(np.float32)
    w = rng.normal(size=(2, 12, 5))
    return x, w, np.einsum("pgn,gno->pgo", x, w).astype(np.float32) + 2


def coarse(w, bits=4):
    return np.abs(w).max(1) / (2 ** (bits - 1) - 1)


def error(x, w, q):
    """Mean squared error of the outputs, that of their mean left out, as a bias takes it."""
    y = np.einsum("pgn,gno->pgo", x, q - w)
    return np.square(y - y.mean(0)).mean()


def test_rounding_in_turn_makes_up_for_errors(data):
    x, w, _ = data
    steps, centered = coarse(w), x - x.mean(0)
    products = np.einsum("pgi,pgj->gij", centered, centered) / len(x) + 1e-4 * np.eye(12)
    q = round_in_turn(w, steps, products)
    np.testing.assert_allclose(q / steps[:, None], np.rint(q / steps[:, None]), atol=1e-9)
    assert np.abs(q / steps[:, None]).max() <= 127
    assert error(x, w, q) < error(x, w, np.rint(w / steps[:, None]) * steps[:, None]) / 2


def test_independent_inputs_are_rounded_to_the_nearest(data):
    _, w, _ = data
    steps = coarse(w)
    q = round_in_turn(w, steps, np.tile(np.eye(12), (2, 1, 1)))
    np.testing.assert_allclose(q, np.rint(w / steps[:, None]) * steps[:, None], atol=1e-12)


def test_the_bias_takes_the_mean_of_the_error(data):
    x, w, y = data
    found = fit(w, Moments.of([(x[:3000], y[:3000])]), Moments.of([(x[3000:], y[3000:])]))
    left = np.einsum("pgn,gno->pgo", x, found.weights) + found.bias - y
    assert np.abs(left.mean(0)).max() < 1e-3
    assert np.abs(left).max() < 0.05 * np.abs(y).max()


def test_weights_follow_inputs_that_rounding_has_changed(data):
    """Inputs a tenth too small: weights a tenth larger give the same outputs."""
    x, w, y = data
    x = x * np.float32(1 / 1.1)
    found = fit(w, Moments.of([(x[:3000], y[:3000])]), Moments.of([(x[3000:], y[3000:])]))
    assert found.ridge == 0.03  # as freely as it can
    np.testing.assert_allclose(np.einsum("pgn,gno->pgo", x, found.weights) + found.bias, y, atol=0.1 * y.std())


def test_noise_does_not_move_the_weights(data):
    x, w, _ = data
    rng = np.random.default_rng(1)
    few, y = x[:20], rng.normal(size=(20, 2, 5)).astype(np.float32) * 100
    y += np.einsum("pgn,gno->pgo", few, w).astype(np.float32)
    found = fit(w, Moments.of([(few[:10], y[:10])]), Moments.of([(few[10:], y[10:])]))
    assert found.ridge >= 10


def test_a_dead_channel_has_a_step_that_its_bias_can_be_counted_in(data):
    x, w, y = data
    w[0, :, 0] = 0
    y[:, 0, 0] = 7
    found = fit(w, Moments.of([(x[:3000], y[:3000])]), Moments.of([(x[3000:], y[3000:])]))
    assert found.bias[0, 0] == pytest.approx(7, abs=0.01)
    assert np.abs(found.bias / found.steps).max() < 2**28


def test_moments_add_up(data):
    x, _, y = data
    whole, parts = Moments.of([(x, y)]), Moments.of([(x[:1000], y[:1000]), (x[1000:], y[1000:])])
    for name, value in vars(whole.centered()).items():
        np.testing.assert_allclose(getattr(parts.centered(), name), value, rtol=1e-3, atol=1e-3)
