"""Files that leave out the zeros of a pruned network."""

from contextlib import closing

import numpy as np
import pytest
from support.exported_runs import pruned_run

from mnext_tf.errors import ConfigError
from mnext_tf.export import app_assets, stages
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.tflite.operators import read_operators
from mnext_tf.tflite.zeros import without_zeros, zero_share


def outputs(path, images):
    with closing(TFLiteNetwork(path, workers=1)) as network:
        return network(images)


def path_of(stage):
    return stage.folder / stage.result["file"]


@pytest.mark.slow
def test_a_sparse_file_is_the_dense_one_but_for_its_size(few_blocks, tmp_path):
    run, images = pruned_run(tmp_path / "run"), np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    images = images.astype(np.float32)
    dense = stages.tflite(run)
    assert (dense.result["zero_share"], dense.result["sparse"]) == (pytest.approx(0.8, abs=0.01), False)
    content, logits = path_of(dense).read_bytes(), outputs(path_of(dense), images)

    sparse = stages.tflite(run, sparse=True)
    assert sparse.result["sparse"]
    assert sparse.result["zero_share"] == dense.result["zero_share"]
    assert sparse.result["file_bytes"] < 0.7 * len(content)
    assert sparse.result["nodes_delegated"] == sparse.result["nodes_total"] > dense.result["nodes_total"]
    np.testing.assert_allclose(outputs(path_of(sparse), images), logits, rtol=1e-5, atol=1e-6)
    rows = (sparse.folder / "layers.csv").read_text()
    assert rows.count("\n") == (dense.folder / "layers.csv").read_text().count("\n") > 10
    assert "DENSIFY" not in rows

    assert stages.tflite(run).skipped  # sparse is remembered
    app = app_assets.for_apps(run)
    assert app.result["sparse"]
    np.testing.assert_allclose(outputs(path_of(app), images).sum(axis=1), 1, rtol=1e-5)
    assert path_of(stages.tflite(run, sparse=False)).read_bytes() == content

    for path in (path_of(app), path_of(dense)):
        full = tmp_path / "full.tflite"
        full.write_bytes(without_zeros(path))
        assert zero_share(full.read_bytes()) == 0
        assert "DENSIFY" not in {op.kind for op in read_operators(full)}
        assert np.isfinite(outputs(full, images)).all()


def test_too_few_zeros_are_refused_and_not_remembered(few_blocks, tmp_path):
    run = pruned_run(tmp_path / "run", share=0.6)
    with pytest.raises(ConfigError, match=r"two thirds.*here 60\.\d% are zero.*--sparsity=0.8"):
        stages.tflite(run, sparse=True)
    assert not (run.folder / "export.json").exists()
    with pytest.raises(ConfigError, match="no sparse kernels for int8"):
        stages.tflite(run, "int8", sparse=True)


def test_zeros_of_every_precision_are_counted(exported):
    for stage in ("tflite_float32", "tflite_int8"):
        result = exported.manifest(stage).result
        assert result["zero_share"] < 0.1
        assert not result["sparse"]
