"""Everything that a run has exported against its Keras network, from the files as they are now."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.export.frozen import load_frozen
from mnext_tf.export.kinds import Tolerance
from mnext_tf.export.saved_model import load_saved_model
from mnext_tf.export.stages import exports_of, keras_function, run_network, validation_images
from mnext_tf.export.tflite import TFLiteNetwork
from mnext_tf.export.verify import compare, failures, layer_differences, worst_layer
from mnext_tf.files import write_json
from mnext_tf.run_folder import Run, load_network


def verify_run(
    run: Run, tolerance: Tolerance, *, max_images: int | None = None, log: Callable[[str], None] | None = None
) -> dict:
    """Run Keras, SavedModel, frozen graph and every TFLite file of `run` on the same validation images.

    Reads the files as they are now, and writes `verify.json` into the run's folder. A graph or file that
    fails is renamed to `<name>.failed`, so that nothing wrong keeps its final name.

    Returns:
      {images, passed, networks: {name: numbers of `compare`}, failures: {name: what is wrong}}.

    Raises ConfigError where nothing has been exported yet.
    """
    exported, files = {}, {}  # name -> (kind, function that opens it); name -> file
    for name, path in exports_of(run):
        if name == "saved_model":
            exported[name] = (name, lambda path=path: load_saved_model(path))
            continue
        files[name] = path
        if name == "frozen":
            exported[name] = (name, lambda path=path: load_frozen(path))
        else:
            quantize = run.manifest(name)["settings"]["quantize"]
            exported[name] = (quantize, lambda path=path: TFLiteNetwork(path))
    if not exported:
        raise ConfigError(
            f"{run.folder} has no exports yet. python -m pipelines.export_tflite --run={run.folder} makes one."
        )

    images, labels = validation_images(run, log, max_images=max_images)
    model = load_network(run)
    expected = run_network(keras_function(model), images)
    networks, failed = {"keras": compare(expected, expected, labels)}, {}
    for name, (kind, open_network) in exported.items():
        try:
            logits = run_network(open_network(), images)
        except (OSError, ValueError, RuntimeError, MnextError, tf.errors.OpError) as e:
            failed[name] = f"it cannot be read ({str(e)[:300]}). Exporting again makes it again"
            continue
        networks[name] = compare(logits, expected, labels)
        found = failures(kind, networks[name], networks["keras"], tolerance, trained=run.trained)
        if found:
            failed[name] = "; ".join(found)
            if name.startswith("tflite"):
                failed[name] += f". By layers, {worst_layer(layer_differences(model, files[name], images[:8]))}"
            if name in files:
                files[name].rename(files[name].with_name(files[name].name + ".failed"))
                failed[name] += f". Renamed to {files[name].name}.failed"
    verified = {"images": len(images), "passed": not failed, "networks": networks, "failures": failed}
    write_json(run.folder / "verify.json", verified)
    return verified
