"""Export a run's network as a SavedModel (signature image -> logits, labels inside), verified.

python -m pipelines.export_saved_model --run=runs/...
"""

from absl import flags

from pipelines import _cli, _runs

flags.adopt_module_key_flags(_runs)


def main() -> None:
    run = _runs.select_run()
    from mnext_tf.export.stages import saved_model

    stage = saved_model(run, **_runs.stage_options())
    measured = stage.result["measured"]
    print(f"{stage.folder}: largest difference to Keras {measured['max_relative_difference']:.1e} (relative), verified")


if __name__ == "__main__":
    _cli.run(main)
