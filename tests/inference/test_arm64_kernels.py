"""Every kind of file by the ARM64 kernels that a phone's CPU runs, under qemu, against this machine's results."""

import functools
import os
import shutil

import numpy as np
import pytest
from support.exported_runs import pruned_run

from mnext_tf.errors import ExportError
from mnext_tf.evaluation.arm64_equivalence import compare_arm64, first_difference, layer_steps, sparse_kernels
from mnext_tf.export import stages
from mnext_tf.inference.arm64 import Arm64Network, check_root
from mnext_tf.tflite.operators import delegation

pytestmark = pytest.mark.arm64


@pytest.fixture(scope="session", autouse=True)  # before anything is exported in vain
def root(repository):
    folder = repository / ".environments" / "arm64"
    if not folder.is_dir():
        pytest.skip(f"the ARM64 environment is not there: {folder}; make environment-arm64 makes it")
    return check_root(folder)


@pytest.fixture(scope="module")
def images():
    """Patches of flat colour, which give the network more to tell apart than noise does."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.float32)


@pytest.fixture(scope="module")
def write_file(exported, images, tmp_path_factory):
    """`write_file("int8_uint8")`: (kind, path) of such a file of the exported network."""
    from mnext_tf.export.tflite import convert
    from mnext_tf.tflite.softmax import add_softmax

    frozen, folder = exported.stage("frozen") / "frozen.pb", tmp_path_factory.mktemp("kinds")

    @functools.cache
    def write(name):
        kind, _, last = name.partition("_")
        io_type = last if last in ("uint8", "float32") else "int8"
        content = convert(frozen, kind, io_type=io_type, calibration=images[:8], progress=False)
        path = folder / f"{name}.tflite"
        path.write_bytes(add_softmax(content) if last == "probabilities" else content)
        return kind, path

    return write


@pytest.fixture(scope="module")
def reference(exported, images):
    from mnext_tf.runs.weights import load_network

    return np.asarray(load_network(exported)(images, training=False))


@pytest.mark.parametrize(
    "name",
    [
        *("float32", "float16", "dynamic", "int8", "int8_uint8", "int8_float32"),
        *("float32_probabilities", "int8_probabilities"),
    ],
)
def test_every_kind_of_file_gives_what_it_gives_here(name, write_file, root, images, reference):
    kind, path = write_file(name)
    result, found = compare_arm64(path, kind, root, images, reference, trained=False, workers=1)
    assert found == []
    assert result["about"]["machine"] == "aarch64"
    here = delegation(path)
    assert result["about"]["nodes_total"] == here.nodes_total
    assert result["about"]["nodes_delegated"] == here.nodes_delegated > 70
    if kind == "int8":
        assert result["steps"] < 1e-4  # to the bit, but for the softmax
        assert result["first_difference"] is None
    if kind != "dynamic":
        assert result["top1_agreement"] == 1


def test_where_they_first_differ(write_file, root, images):
    _, int8 = write_file("int8")
    assert {row["steps"] for row in layer_steps(int8, root, images[:2], workers=1)} == {0}

    _, float32 = write_file("float32")
    rows = layer_steps(float32, root, images[:2], workers=1)
    assert 0 < max(row["relative"] for row in rows) < 1e-5  # other instructions round otherwise
    assert first_difference(rows).startswith("in no operator's output")


def test_an_x86_cpuinfo_is_an_error_not_other_kernels(write_file, root, images, tmp_path):
    """The file that qemu would take from the host if the root had none."""
    broken = tmp_path / "root"
    shutil.copytree(root, broken, symlinks=True, copy_function=os.symlink)
    (broken / "proc/cpuinfo").unlink()
    (broken / "proc/cpuinfo").write_text("processor\t: 0\nvendor_id\t: GenuineIntel\n\n")
    _, path = write_file("int8")
    with pytest.raises(ExportError, match=r"(was ended by SIG|XNNPACK did not take)"):
        Arm64Network(path, broken, workers=1)(images[:1])


@pytest.mark.slow
def test_sparse_kernels_compute_a_file_that_leaves_out_its_zeros(few_blocks, root, tmp_path):
    """And not one that stores them, though its weights are the same."""
    run = pruned_run(tmp_path / "run", width=1.0, input_size=96)
    image = np.random.default_rng(0).uniform(0, 255, (96, 96, 3)).astype(np.float32)
    for sparse in (True, False):
        stage = stages.tflite(run, sparse=sparse)
        found = sparse_kernels(stage.folder / stage.result["file"], root, image)
        assert found["sparse_kernels"] == sparse, found


@pytest.mark.shared
class TestRealWeights:
    """MobileNetV2 at 224 pixels with weights trained on ImageNet, on photographs."""

    @pytest.fixture(scope="class")
    def photographs(self, repository):
        from mnext_tf.data.preprocess import Preprocess, eval_image

        files = sorted((repository.parent / "shared" / "data" / "imagenet_samples").glob("*.JPEG"))
        if len(files) < 100:
            pytest.skip("the reference data is not there: ../shared")
        preprocess = Preprocess(input_size=224, interpolation="bilinear")
        return np.stack([eval_image(f.read_bytes(), preprocess) for f in files[:: len(files) // 100][:100]])

    @pytest.fixture(scope="class")
    def network(self, photographs, repository, tmp_path_factory):
        """(Keras' logits, function from a kind to its file)."""
        from mnext_tf.checkpoints import import_checkpoint
        from mnext_tf.data import open_dataset
        from mnext_tf.export.frozen import write_frozen
        from mnext_tf.export.saved_model import write_saved_model
        from mnext_tf.export.tflite import convert
        from mnext_tf.runs.weights import load_network

        weights = repository.parent / "shared" / "weights" / "mobilenet_v2_1.0_224_imagenet.weights.h5"
        folder = tmp_path_factory.mktemp("real")
        run = import_checkpoint(weights, folder / "run", dataset=open_dataset("photographs", folder / "data"))
        model = load_network(run)
        write_saved_model(model, run.config.class_names, folder / "saved_model")
        write_frozen(folder / "saved_model", folder / "frozen.pb")

        def write(kind):
            path = folder / f"{kind}.tflite"
            path.write_bytes(convert(folder / "frozen.pb", kind, calibration=photographs[:10], progress=False))
            return path

        return np.asarray(model(photographs, training=False)), write

    @pytest.mark.parametrize(("kind", "count"), [("float32", 4), ("float16", 2), ("dynamic", 4), ("int8", 100)])
    def test_same_logits_and_decisions(self, network, photographs, root, kind, count):
        reference, write = network
        few = slice(None, None, len(photographs) // count)
        result, found = compare_arm64(write(kind), kind, root, photographs[few], reference[few])
        assert found == []
        assert result["images"] == count
        if kind == "int8":
            assert result["steps"] == 0  # seen with LiteRT 2.3
