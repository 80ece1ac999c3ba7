"""Freeze a run's SavedModel into one GraphDef (.pb) with the variables as constants, verified.

python -m pipelines.freeze --run=runs/...
"""

from absl import flags

from pipelines import _cli, _runs

flags.adopt_module_key_flags(_runs)


def main() -> None:
    run = _runs.select_run()
    from mnext_tf.export.stages import freeze

    stage = freeze(run, **_runs.stage_options())
    measured = stage.result["measured"]
    print(
        f"{stage.folder / 'frozen.pb'}: {stage.result['nodes']} nodes, largest difference to Keras "
        f"{measured['max_relative_difference']:.1e} (relative), verified"
    )


if __name__ == "__main__":
    _cli.run(main)
