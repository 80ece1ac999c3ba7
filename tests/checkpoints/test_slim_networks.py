"""TF-slim's networks, written out with tf.nn here, against those imported from their checkpoints and frozen graphs."""

import numpy as np
import pytest

from mnext_tf.checkpoints import import_checkpoint, read_checkpoint, recognize
from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.runs.weights import load_network

V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
SIZE = 64
PIXELS = np.random.default_rng(1).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)


class Graph:
    """Layers as in TF-slim, with random variables under its names."""

    def __init__(self, tf, scope: str, seed: int):
        self.tf, self.scope, self.rng, self.variables = tf, scope, np.random.default_rng(seed), []

    def variable(self, name: str, shape, low: float, high: float):
        value = self.rng.uniform(low, high, shape).astype(np.float32)
        self.variables.append(self.tf.compat.v1.get_variable(f"{self.scope}/{name}", initializer=value))
        return self.variables[-1]

    def normalized(self, x, name: str):
        c = x.shape[-1:]
        scale, shift = (
            self.variable(f"{name}/BatchNorm/gamma", c, 0.5, 1.5),
            self.variable(f"{name}/BatchNorm/beta", c, -1, 1),
        )
        mean = self.variable(f"{name}/BatchNorm/moving_mean", c, -0.5, 0.5)
        variance = self.variable(f"{name}/BatchNorm/moving_variance", c, 0.1, 1)
        return (x - mean) / self.tf.sqrt(variance + 0.001) * scale + shift

    def conv(self, x, name: str, kernel: int, outputs: int, stride: int = 1, linear: bool = False):
        shape = (kernel, kernel, int(x.shape[-1]), outputs)
        bound = (3 / np.prod(shape[:3])) ** 0.5
        x = self.tf.nn.conv2d(x, self.variable(f"{name}/weights", shape, -bound, bound), stride, "SAME")
        x = self.normalized(x, name)
        return x if linear else self.tf.nn.relu6(x)

    def depthwise(self, x, name: str, stride: int):
        kernel = self.variable(f"{name}/depthwise_weights", (3, 3, int(x.shape[-1]), 1), -0.6, 0.6)
        x = self.tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), "SAME")
        return self.tf.nn.relu6(self.normalized(x, name))

    def logits(self, x, classes: int):
        x = self.tf.reduce_mean(x, (1, 2), keepdims=True)
        kernel = self.variable("Logits/Conv2d_1c_1x1/weights", (1, 1, int(x.shape[-1]), classes), -0.1, 0.1)
        x = self.tf.nn.conv2d(x, kernel, 1, "SAME") + self.variable("Logits/Conv2d_1c_1x1/biases", (classes,), -1, 1)
        return self.tf.squeeze(x, (1, 2), name="logits")


def mobilenet_v1(g: Graph, x, width: float, classes: int):
    x = g.conv(x, "Conv2d_0", 3, max(int(32 * width), 8), stride=2)
    for i, (c, stride) in enumerate(V1, 1):
        x = g.depthwise(x, f"Conv2d_{i}_depthwise", stride)
        x = g.conv(x, f"Conv2d_{i}_pointwise", 1, max(int(c * width), 8))
    return g.logits(x, classes)


def mobilenet_v2(g: Graph, x, width: float, classes: int):
    def divisible(c: float) -> int:
        nearest = max(8, int(c + 4) // 8 * 8)
        return nearest + 8 if nearest < 0.9 * c else nearest

    x, i = g.conv(x, "Conv", 3, divisible(32 * width), stride=2), 0
    for expansion, c, blocks, first_stride in V2:
        for stride in (first_stride, *(1,) * (blocks - 1)):
            before, name = x, f"expanded_conv_{i}" if i else "expanded_conv"
            if expansion > 1:
                x = g.conv(x, f"{name}/expand", 1, int(x.shape[-1]) * expansion)
            x = g.depthwise(x, f"{name}/depthwise", stride)
            x = g.conv(x, f"{name}/project", 1, divisible(c * width), linear=True)
            if stride == 1 and x.shape[-1] == before.shape[-1]:
                x += before
            i += 1
    return g.logits(g.conv(x, "Conv_1", 1, divisible(1280 * max(width, 1))), classes)


NETWORKS = {"mobilenet_v1": ("MobilenetV1", mobilenet_v1), "mobilenet_v2": ("MobilenetV2", mobilenet_v2)}


def write(folder, name: str, width: float, classes: int = 7, averaged: bool = False, more: dict | None = None):
    """The logits of PIXELS; writes folder/model.ckpt-906808 with a part of RMSProp's state, and folder/frozen.pb.

    Args:
      averaged: whether the checkpoint has the variables as moving averages, and others under their names.
      more: further variables of the checkpoint.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    scope, network = NETWORKS[name]
    with tf.Graph().as_default() as graph, v1.Session() as session:
        g = Graph(tf, scope, seed=0)
        image = v1.placeholder(tf.float32, (None, SIZE, SIZE, 3), name="input")
        logits = network(g, image, width, classes)
        others = {"global_step": v1.get_variable("global_step", initializer=np.int64(906808))}
        for v in g.variables[:5]:
            others[f"{v.op.name}/RMSProp"] = v1.get_variable(f"{v.op.name}/RMSProp", initializer=np.float32(1))
        for v in g.variables:
            if averaged:
                others[v.op.name] = v1.get_variable(f"raw/{v.op.name}", initializer=np.ones(v.shape, np.float32))
            others[f"{v.op.name}{'/ExponentialMovingAverage' if averaged else ''}"] = v
        others |= {key: v1.get_variable(key, initializer=value) for key, value in (more or {}).items()}
        session.run(v1.global_variables_initializer())
        v1.train.Saver(others).save(session, str(folder / "model.ckpt"), 906808, write_meta_graph=False)
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [logits.op.name])
        (folder / "frozen.pb").write_bytes(frozen.SerializeToString())
        return session.run(logits, {image: PIXELS / 127.5 - 1})


@pytest.mark.parametrize(
    ("name", "width", "classes", "averaged", "file", "other"),
    [
        ("mobilenet_v1", 0.25, 1001, True, "model.ckpt-906808", "frozen.pb"),
        pytest.param("mobilenet_v1", 0.5, 7, False, "frozen.pb", "model.ckpt-906808", marks=pytest.mark.slow),
        ("mobilenet_v2", 0.35, 1001, False, "frozen.pb", "model.ckpt-906808"),
        pytest.param("mobilenet_v2", 1.3, 7, True, "model.ckpt-906808", "frozen.pb", marks=pytest.mark.slow),
    ],
)
def test_logits_of_checkpoint_and_frozen_graph(tmp_path, unlabeled, name, width, classes, averaged, file, other):
    expected = write(tmp_path, name, width, classes, averaged)
    if classes == 1001:
        expected = expected[:, 1:]
    run = import_checkpoint(
        tmp_path / file,
        tmp_path / "run",
        dataset=unlabeled,
        drop_background=classes == 1001,
        input_size=None if file == "frozen.pb" else SIZE,
    )
    config = run.config
    assert (config.model.name, config.model.width, config.model.input_size) == (name, width, SIZE)
    assert config.model.options == ({"convention": "tensorflow"} if name == "mobilenet_v2" else {})
    assert (config.source.format, config.source.naming, config.source.file) == ("TensorFlow", "slim", file)
    assert config.preprocess.interpolation == "bilinear"
    got = load_network(run)(PIXELS, training=False).numpy()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()

    first, second = read_checkpoint(tmp_path / file), read_checkpoint(tmp_path / other)
    assert first.tensors.keys() == second.tensors.keys()
    for tensor, array in second.tensors.items():
        np.testing.assert_array_equal(array, first.tensors[tensor], err_msg=tensor)
    found = recognize(second)
    assert (found.model, found.width, found.num_classes) == (name, width, classes)
    frozen, checkpoint = sorted((found.notes, config.source.notes), key=lambda notes: "variables" in " ".join(notes))
    assert "variables" not in " ".join(frozen)
    count = len(first.tensors)
    assert (f"used the moving averages of {count} variables" in checkpoint) == averaged
    assert f"ignored {count + 6 if averaged else 6} variables of the training: " in " ".join(checkpoint)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Folder with a checkpoint and a frozen graph of a small network, and variables around it."""
    folder = tmp_path_factory.mktemp("small")
    write(folder, "mobilenet_v1", 0.25, more={"Scope/MobilenetV1/Conv2d_0/weights_quant/min": np.float32(0)})
    return folder


def test_every_way_to_name_a_checkpoint(small):
    wanted = read_checkpoint(small / "model.ckpt-906808")
    for name in ("model.ckpt-906808.index", "model.ckpt-906808.data-00000-of-00001", "model.ckpt-906808.meta", ""):
        found = read_checkpoint(small / name)
        assert (found.path, found.files) == (wanted.path, wanted.files)
    assert [file.name for file in found.files] == ["model.ckpt-906808.index", "model.ckpt-906808.data-00000-of-00001"]


def test_names_show_the_input_size_and_outer_scopes_are_left_out(small, tmp_path):
    import tensorflow as tf

    for file in small.glob("model.ckpt*"):
        (tmp_path / file.name.replace("model.ckpt-906808", "mobilenet_v1_0.25_128.ckpt")).write_bytes(file.read_bytes())
    found = recognize(read_checkpoint(tmp_path / "mobilenet_v1_0.25_128.ckpt"))
    assert (found.model, found.width, found.preprocess.input_size) == ("mobilenet_v1", 0.25, 128)
    graph = tf.compat.v1.GraphDef.FromString((small / "frozen.pb").read_bytes())
    for node in graph.node:
        node.name = f"import/{node.name}"
    (tmp_path / "scoped.pb").write_bytes(graph.SerializeToString())
    tensors = read_checkpoint(small).tensors
    scoped = read_checkpoint(tmp_path / "scoped.pb").tensors
    assert scoped.keys() == tensors.keys()
    for name, tensor in scoped.items():
        np.testing.assert_array_equal(tensor, tensors[name], err_msg=name)


def test_what_contradicts_the_checkpoint_is_refused(small, unlabeled, tmp_path):
    with pytest.raises(ConfigError, match=r"removes class 0 of 1001; .*has 7 classes"):
        import_checkpoint(small, tmp_path / "run", dataset=unlabeled, drop_background=True)
    with pytest.raises(ConfigError, match=r"width=0\.5 was given.*mobilenet_v1 at width 0\.25"):
        recognize(read_checkpoint(small), width=0.5)
    with pytest.raises(ConfigError, match=r"model=mobilenet_v2 was given.*with the tensor names of TF-slim"):
        recognize(read_checkpoint(small), model="mobilenet_v2")
    with pytest.raises(CheckpointError, match="has no entry 'ema'; it nests no state dicts"):
        read_checkpoint(small, entry="ema")


def test_networks_that_only_have_the_names_are_refused_with_the_reason(small, tmp_path):
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString((small / "frozen.pb").read_bytes())

    def refusal(change) -> str:
        changed = tf.compat.v1.GraphDef()
        changed.node.extend(node for node in map(change, graph.node) if node is not None)
        (tmp_path / "g.pb").write_bytes(changed.SerializeToString())
        with pytest.raises(CheckpointError) as error:
            recognize(read_checkpoint(tmp_path / "g.pb"))
        return str(error.value)

    def changed(node, **fields):
        new = type(node)()
        new.CopyFrom(node)
        for field, value in fields.items():
            setattr(new, field, value)
        return new

    assert "ReLU where the networks here have ReLU6" in refusal(lambda n: changed(n, op=n.op.replace("Relu6", "Relu")))
    assert "folded into the convolutions" in refusal(lambda n: None if "BatchNorm" in n.name else n)
    assert "no classifier, only feature layers" in refusal(lambda n: None if "Logits" in n.name else n)
    assert "a graph without the weights" in refusal(lambda n: None if n.op == "Const" else n)
    authors = refusal(
        lambda n: (
            changed(n, name=n.name.replace("MobilenetV1/Conv2d_1_", "MobilenetV2/i2rnet_conv/"))
            if "Conv2d_1_" in n.name
            else None
        )
    )
    assert "whose latency the MobileNeXt authors measured with TensorFlow" in authors
    assert "1 missing: MobilenetV1/Conv2d_3_depthwise/depthwise_weights" in refusal(
        lambda n: None if n.name == "MobilenetV1/Conv2d_3_depthwise/depthwise_weights" else n
    )
