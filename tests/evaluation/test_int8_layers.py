"""The account of an int8 file by layer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from mnext_tf.errors import ConfigError

IMAGES = 20
DAMAGED = "block02_reduce"


@pytest.fixture
def int8(few_blocks, few_blocks_exported):
    """(network, path of its int8 file, images)"""
    return opened(few_blocks_exported)


def opened(run):
    from mnext_tf.inference.predictor import exports_of
    from mnext_tf.runs.dataset import validation_batches
    from mnext_tf.runs.weights import load_network

    images, _ = next(validation_batches(run, max_images=IMAGES))
    return load_network(run), dict(exports_of(run))["tflite_int8"], images


def twin_of(network, path: Path):
    from mnext_tf.compression.int8_file import Int8File
    from mnext_tf.compression.twin import make_twin

    file = Int8File(path.read_bytes(), [layer.name for layer in network.layers])
    return make_twin(network, file.ranges()), file


def account(network, path, images, sqnr_db=10.0):
    from mnext_tf.evaluation.int8_layers import account_of_layers

    return account_of_layers(network, path, images, sqnr_db)


def test_every_layer_with_a_range_has_a_row(int8):

    network, path, images = int8
    rows = account(network, path, images)
    ranges = twin_of(network, path)[1].ranges()
    assert [row.layer for row in rows] == list(ranges)
    assert [(row.range_low, row.range_high) for row in rows] == [found[-1] for found in ranges.values()]
    assert sum(row.noise_share for row in rows) == pytest.approx(1)
    assert all((row.weight_low is None) == ("CONV" not in row.operator and "FULLY" not in row.operator) for row in rows)
    assert all(row.sqnr_db_without == pytest.approx(10 - 10 * math.log10(1 - row.noise_share)) for row in rows)
    assert_errors_are_those_of_verify(rows, network, path, images)


def assert_errors_are_those_of_verify(rows, network, path, images):
    from mnext_tf.evaluation.equivalence import _stem, layer_differences

    last = {_stem(row.layer): row for row in rows}
    differences = layer_differences(network, path, images)
    assert len(differences) > 0.7 * len(last)
    for row in differences:
        expected = -20 * math.log10(row["relative_error"])
        assert last[row["layer"]].sqnr_db == pytest.approx(expected, abs=0.1), row["layer"]


@pytest.fixture
def damaged(int8, tmp_path):
    """A file whose layer DAMAGED has a quarter of its range."""
    from mnext_tf.compression.int8_file import write_twin

    network, path, _ = int8
    twin, _ = twin_of(network, path)
    layer = twin.get_layer(DAMAGED)
    for bound in (layer.low[0], layer.high[0]):
        bound.assign(bound / 4)
    (tmp_path / "damaged.tflite").write_bytes(write_twin(path.read_bytes(), twin))
    return tmp_path / "damaged.tflite"


def test_a_damaged_layer_comes_first_and_clips(int8, damaged):
    network, path, images = int8
    before = {row.layer: row for row in account(network, path, images)}
    rows = account(network, damaged, images)
    worst = max(rows, key=lambda row: row.noise_share)
    assert worst.layer == DAMAGED
    assert worst.noise > 10 * before[DAMAGED].noise
    assert worst.clipped_share > 0.01 > before[DAMAGED].clipped_share
    others = {row.layer: row for row in rows if row.layer != DAMAGED}
    assert all(row.clipped_share == before[layer].clipped_share for layer, row in others.items())
    assert all(row.noise == pytest.approx(before[layer].noise, rel=0.05) for layer, row in others.items())


def test_the_clipped_share_is_that_of_the_float_network(int8, damaged):
    import tensorflow as tf

    network, _, images = int8
    row = next(row for row in account(network, damaged, images) if row.layer == DAMAGED)
    layer = network.get_layer(f"{DAMAGED}_bn")
    values = np.asarray(tf.keras.Model(network.input, layer.output)(images, training=False))
    half = (row.range_high - row.range_low) / 510
    expected = ((values > row.range_high + half) | (values < row.range_low - half)).mean()
    assert row.clipped_share == pytest.approx(expected, abs=2e-4)
    assert (row.lowest, row.highest) == (pytest.approx(values.min(), rel=1e-3), pytest.approx(values.max(), rel=1e-3))


@pytest.mark.slow
def test_a_file_of_scaled_channels_is_compared_with_a_network_scaled_alike(int8, tmp_path):
    from mnext_tf.compression.int8_file import Int8File
    from mnext_tf.compression.post_training import improve
    from mnext_tf.evaluation.equivalence import CHANNEL_FACTORS

    network, path, images = int8
    found = improve(network, path.read_bytes(), list(images))
    assert found.step == "good"
    better = tmp_path / "better.tflite"
    better.write_bytes(found.content)
    names = [layer.name for layer in network.layers]
    assert set(found.factors) <= set(names)
    without = account(network, better, images)
    np.savez_compressed(tmp_path / CHANNEL_FACTORS, **found.factors)
    rows, first = account(network, better, images), account(network, path, images)
    assert Int8File(found.content, names).ranges().keys() == {row.layer for row in rows}
    scaled = [i for i, row in enumerate(rows) if row.layer in found.factors]
    assert scaled
    assert all(rows[i].sqnr_db > without[i].sqnr_db + 3 for i in scaled)
    assert sum(row.noise for row in rows) < 0.1 * sum(row.noise for row in without)
    assert min(row.sqnr_db for row in rows) > min(row.sqnr_db for row in first)


def test_a_kernel_is_read_as_it_was_set(int8):
    from mnext_tf.compression.twin import kernels

    network, path, _ = int8
    twin, file = twin_of(network, path)
    for layer in kernels(twin):
        kernel, scale, bias = file.kernel(layer.name)
        np.testing.assert_allclose(scale, layer.scale.numpy(), rtol=1e-5)
        assert kernel.shape == layer.kernel.shape
        assert np.abs(kernel - layer.rounded_kernel().numpy()).max() <= 1.01 * scale.max()  # ties go either way
        np.testing.assert_allclose(kernel, layer.rounded_kernel().numpy(), atol=1e-6 + 0.01 * scale.max())
        file.set_kernel(layer.name, kernel, scale, bias)
        for again, value in zip(file.kernel(layer.name), (kernel, scale, bias), strict=True):
            np.testing.assert_allclose(again, value, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mnext_s"])
def test_every_network_has_an_account(make_run, name):
    from mnext_tf.export.stages import tflite

    run = make_run(name=name, width=0.35)
    tflite(run, "int8")
    network, path, images = opened(run)
    rows = account(network, path, images[:2])
    assert [row.layer for row in rows] == list(twin_of(network, path)[1].ranges())
    assert sum(row.noise_share for row in rows) == pytest.approx(1)
    assert_errors_are_those_of_verify(rows, network, path, images[:2])


def test_partial_shortcuts_are_refused(int8):
    from mnext_tf.models.config import ModelConfig

    _, path, images = int8
    other = ModelConfig("mnext", num_classes=10, width=0.35, input_size=32, identity_tensor_multiplier=0.5).create()
    with pytest.raises(ConfigError, match="identity_tensor_multiplier"):
        account(other, path, images)
