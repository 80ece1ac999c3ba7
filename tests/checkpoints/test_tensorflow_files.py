"""TensorFlow's files whatever network they contain: objects, folders, and damage."""

import contextlib
import re
import shutil

import numpy as np
import pytest

from mnext_tf import create_model
from mnext_tf.checkpoints import default_folder, import_checkpoint, limits, read_checkpoint, recognize
from mnext_tf.errors import CheckpointError
from mnext_tf.runs.weights import load_network

KEY = "MobilenetV1/Conv2d_0/weights"


def refusal(path, **arguments) -> str:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path, **arguments)
    return str(error.value)


def randomized(model):
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) / np.sqrt(np.prod(w.shape[:-1])) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def network():
    return randomized(create_model("mnext", width=0.1, input_size=32, num_classes=4))


@pytest.fixture(scope="module")
def written(tmp_path_factory, network):
    """Prefix of a checkpoint of objects: the network as "model"."""
    import tensorflow as tf

    return tf.train.Checkpoint(model=network).write(tmp_path_factory.mktemp("objects") / "own")


def save_variables(prefix, **arrays) -> str:
    """A checkpoint of variables by name, as TensorFlow 1 writes it."""
    import tensorflow as tf

    names = [name.replace("__", "/") for name in arrays]
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=list(arrays.values())
    )
    return prefix


def test_objects_of_this_project(written, network, unlabeled, tmp_path):
    run = import_checkpoint(written, tmp_path / "run", dataset=unlabeled, input_size=32)
    assert (run.config.model.name, run.config.model.width) == ("mnext", 0.1)
    assert (run.config.source.format, run.config.source.naming) == ("TensorFlow", "mnext_tf")
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_network(run)(pixels), network(pixels))
    assert import_checkpoint(f"{written}.index", run.folder, dataset=unlabeled, input_size=32) == run


def test_variables_of_this_project_by_name(network, tmp_path, written):
    arrays = {v.path: v.numpy() for v in network.weights}
    tensors = read_checkpoint(save_variables(tmp_path / "w", **arrays)).tensors
    for name, tensor in read_checkpoint(written).tensors.items():
        np.testing.assert_array_equal(tensors[name], tensor, err_msg=name)
    del arrays["logits/bias"]
    save_variables(
        tmp_path / "w", **{"stem1/kernel" if name == "stem/kernel" else name: a for name, a in arrays.items()}
    )
    assert "the variables of a Keras network, without their order" in refusal(tmp_path / "w")


def test_several_models_and_an_optimizer(network, tmp_path):
    import tensorflow as tf

    average = create_model("mobilenet_v1", width=0.25, input_size=32, num_classes=4)  # layers of the same names
    optimizer = tf.keras.optimizers.SGD(momentum=0.9)
    optimizer.build(network.trainable_variables)
    path = tf.train.Checkpoint(model=network, average=average, optimizer=optimizer).write(tmp_path / "w")
    found = read_checkpoint(path)
    np.testing.assert_array_equal(found.tensors["stem/0"], network.get_layer("stem").get_weights()[0])
    assert found.entry == "model"
    found = read_checkpoint(path, entry="average")
    np.testing.assert_array_equal(found.tensors["stem/0"], average.get_layer("stem").get_weights()[0])
    assert "has no entry 'ema'; it has average, model" in refusal(path, entry="ema")
    found = read_checkpoint(tf.train.Checkpoint(model=network, optimizer=optimizer).write(tmp_path / "v"))
    assert found.entry is None
    assert re.search(r"ignored \d+ variables of the training: sgd(_\d+)?/", " ".join(found.notes))


def test_keras_applications_by_the_order_of_their_objects(unlabeled, tmp_path):
    import tensorflow as tf

    model = randomized(
        tf.keras.applications.MobileNet(
            alpha=0.25, weights=None, input_shape=(32, 32, 3), classes=5, classifier_activation=None
        )
    )
    optimizer = tf.keras.optimizers.SGD()  # paths to most variables lead through it, and to the others do not
    optimizer.build(model.trainable_variables)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).write(tmp_path / "w")
    found = recognize(read_checkpoint(path))
    assert (found.model, found.publisher, found.width, found.num_classes) == ("mobilenet_v1", "keras", 0.25, 5)
    run = import_checkpoint(path, tmp_path / "run", dataset=unlabeled, input_size=32)
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    expected = model(pixels / 127.5 - 1).numpy()
    assert np.abs(load_network(run)(pixels) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_folder_whose_file_chooses(tmp_path):
    for step in (7, 10):
        save_variables(tmp_path / f"model.ckpt-{step}", **{KEY: np.full(3, step, np.float32)})
    assert "without a file `checkpoint`; checkpoints of TensorFlow in it: model.ckpt-10, model.ckpt-7" in refusal(
        tmp_path
    )
    # moved from another machine; the newest is not the first by name
    (tmp_path / "checkpoint").write_text(
        'model_checkpoint_path: "/home/of/someone/model.ckpt-7"\nall_model_checkpoint_paths: "model.ckpt-10"\n'
    )
    found = read_checkpoint(tmp_path)
    assert (found.path, found.tensors[KEY][0]) == (tmp_path / "model.ckpt-7", 7)
    (tmp_path / "checkpoint").write_text(r'model_checkpoint_path: "C:\\train\\model.ckpt-10"')  # Windows
    assert read_checkpoint(tmp_path).path == tmp_path / "model.ckpt-10"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../model.ckpt-8"\n')
    assert "checkpoint names model.ckpt-8, which is not in the folder; checkpoints in it: model.ckpt-10" in refusal(
        tmp_path
    )
    (tmp_path / "checkpoint").write_bytes(b"\xff\xfe")
    assert "checkpoint names no checkpoint, which" in refusal(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "checkpoints of TensorFlow in it: none" in refusal(tmp_path / "empty")


def test_half_precision_and_what_is_no_number(tmp_path):
    import tensorflow as tf

    save_variables(tmp_path / "w", **{KEY: tf.constant([1.5, -2], tf.bfloat16)})
    array = read_checkpoint(tmp_path / "w").tensors[KEY]
    assert (array.dtype, array.tolist()) == (np.float32, [1.5, -2])
    save_variables(tmp_path / "w", **{KEY: tf.constant(["text"])})
    assert f"{KEY} contains string values" in refusal(tmp_path / "w")
    save_variables(tmp_path / "w", layer1__kernel_of_another=np.zeros(3))
    assert "an unsupported network; its variables begin with layer1/kernel_of_another" in refusal(tmp_path / "w")
    tf.raw_ops.SaveV2(prefix=str(tmp_path / "w"), tensor_names=[KEY], shape_and_slices=["4 0,2"], tensors=[np.zeros(2)])
    assert "contains partitioned variables" in refusal(tmp_path / "w")
    save_variables(tmp_path / "w", **{KEY: np.zeros(2), f"a__{KEY}": np.zeros(2)})
    assert f"contains {KEY} twice, as {KEY} and a/{KEY}" in refusal(tmp_path / "w")


def test_files_that_are_missing_or_go_by_another_name(tmp_path):
    save_variables(tmp_path / "w", **{KEY: np.zeros(3)})
    index, data = tmp_path / "w.index", tmp_path / "w.data-00000-of-00001"
    shutil.copy(index, tmp_path / "renamed")
    assert "the index of a TensorFlow checkpoint under another name" in refusal(tmp_path / "renamed")
    content = data.read_bytes()
    data.unlink()
    assert "w.data-00000-of-00001 is missing beside it" in refusal(tmp_path / "w")
    data.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "data-00000-of-00001 is a git-lfs pointer" in refusal(tmp_path / "w")
    data.write_bytes(content)
    index.unlink()
    assert "w.index is missing beside it. Copy all files w.* together" in refusal(data)
    assert "w does not exist" in refusal(tmp_path / "w")
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    assert "is a SavedModel. Give " in refusal(tmp_path)
    assert "the graph of a SavedModel" in refusal(tmp_path / "saved_model.pb")


def test_damage_anywhere_gives_one_message(tmp_path, written):
    """A checkpoint of objects, so that the text with their names is damaged, too."""
    import tensorflow as tf

    path = tf.train.Checkpoint(v=tf.Variable(np.ones((3, 3), np.float32), name=KEY)).write(tmp_path / "w")
    rng = np.random.default_rng(0)
    for name in ("w.index", "w.data-00000-of-00001"):
        whole = (tmp_path / name).read_bytes()
        for end in range(0, len(whole) - 1, 1 + len(whole) // 100):
            (tmp_path / name).write_bytes(whole[:end])
            assert re.search("damaged|is empty", refusal(path))
        for _ in range(100):
            changed = bytearray(whole)
            changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
            (tmp_path / name).write_bytes(changed)
            with contextlib.suppress(CheckpointError):  # any other error fails; some bytes have no meaning
                assert (read_checkpoint(path).tensors[KEY] == 1).all()
        (tmp_path / name).write_bytes(whole)
    assert read_checkpoint(path).tensors[KEY].shape == (3, 3)


def test_frozen_graphs_that_are_damaged_or_declare_too_much(tmp_path, monkeypatch):
    import tensorflow as tf

    path, graph = tmp_path / "g.pb", tf.compat.v1.GraphDef()
    node = graph.node.add(name=KEY, op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.ones((3, 3), np.float32)))
    whole = graph.SerializeToString()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert re.search("damaged|is empty|not a checkpoint in a supported|without the weights", refusal(path))
    path.write_bytes(whole)
    assert read_checkpoint(path).tensors[KEY].shape == (3, 3)
    assert "has no entries" in refusal(path, entry="model")
    node.attr["value"].tensor.tensor_shape.dim[0].size = 1 << 44
    path.write_bytes(graph.SerializeToString())
    assert "declares 2.11e+05 GB or more; the limit is 4.3 GB" in refusal(path)
    node.attr["value"].tensor.tensor_shape.dim[0].size = -3
    path.write_bytes(graph.SerializeToString())
    assert "damaged" in refusal(path)


def test_the_limit_is_on_all_files_together(tmp_path, monkeypatch):
    path = save_variables(tmp_path / "w", **{KEY: np.zeros(1000, np.float32)})
    total = sum(file.stat().st_size for file in read_checkpoint(path).files)
    monkeypatch.setattr(limits, "MAX_BYTES", total - 1)
    assert "declares" in refusal(path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("model.ckpt-906808", "model.ckpt-906808-imported"),
        ("model.ckpt-906808.index", "model.ckpt-906808-imported"),
        ("a/mobilenet_v2_1.0_224.ckpt.data-00000-of-00001", "mobilenet_v2_1.0_224-imported"),
        ("mobilenet_v1_0.25_128_frozen.pb", "mobilenet_v1_0.25_128_frozen-imported"),
        ("a/folder/", "folder-imported"),
    ],
)
def test_the_default_run_folder(path, name):
    assert default_folder(path).name == name
