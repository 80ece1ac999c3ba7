"""Files that keep their weights as int8 and compute in float32."""

import numpy as np
import pytest

from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.int8_weights import store_weights_as_int8
from mnext_tf.tflite.operators import open_interpreter, read_operators


@pytest.fixture(scope="module")
def content(wide_exported):
    (file,) = wide_exported.stage("tflite_float32").glob("*.tflite")
    return file.read_bytes()


def logits(path, image, *, delegate):
    interpreter = open_interpreter(path, delegate=delegate)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def kernels(content):
    """name -> (values, scales, axis) of the tensors that a convolution or dense layer multiplies with."""
    tree = flatbuffer.read_model(content)
    tensors = {}
    for tensor in tree.subgraphs[0].tensors:
        data = tree.buffers[tensor.buffer].data
        if data is not None and len(tensor.shape) in (2, 4):
            kind = np.int8 if tensor.type == 9 else np.float32
            values = np.frombuffer(bytes(data), kind).reshape(tensor.shape)
            tensors[tensor.name.decode()] = (values, tensor.quantization)
    return tensors


def test_each_channel_is_rounded_to_half_a_step_of_its_own(content):
    before, after = kernels(content), kernels(store_weights_as_int8(content))
    rounded = {name.removesuffix("_int8"): found for name, found in after.items() if found[0].dtype == np.int8}
    assert len(rounded) >= 5
    for name, (steps, quantization) in rounded.items():
        axis, scale = quantization.quantizedDimension, np.array(quantization.scale, np.float32)
        assert len(scale) == steps.shape[axis]
        shape = [1] * steps.ndim
        shape[axis] = -1
        error = np.abs(steps * scale.reshape(shape) - before[name][0])
        assert (error <= 0.501 * scale.reshape(shape)).all()
        largest = np.abs(steps).max(axis=tuple(i for i in range(steps.ndim) if i != axis))
        assert (largest == 127).all()
        assert before[name][0].size >= 4096
    kept = {name for name in before if name not in rounded}
    assert kept
    for name in kept:
        assert before[name][0].size < 4096
        np.testing.assert_array_equal(after[name][0], before[name][0])


def test_all_of_it_can_be_rounded_and_nothing_at_all(content):
    assert {v.dtype.name for v, _ in kernels(store_weights_as_int8(content, least=0)).values()} == {"int8", "float32"}
    small = store_weights_as_int8(content, least=0)
    assert len(small) < len(store_weights_as_int8(content)) < 0.6 * len(content)
    assert kernels(store_weights_as_int8(content, least=10**9)).keys() == kernels(content).keys()


@pytest.mark.parametrize("least", [0, 4096])
def test_xnnpack_and_the_kernels_without_it_agree(content, tmp_path, least):
    path = tmp_path / "file.tflite"
    path.write_bytes(store_weights_as_int8(content, least))
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    with_delegate, without = (logits(path, image, delegate=delegate) for delegate in (True, False))
    np.testing.assert_allclose(with_delegate, without, rtol=0, atol=1e-5 * np.abs(without).max())
    assert np.abs(without).max() > 0
    kinds = [op.kind for op in read_operators(path)]
    assert kinds[: kinds.count("DEQUANTIZE")] == ["DEQUANTIZE"] * kinds.count("DEQUANTIZE")
