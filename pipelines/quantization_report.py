"""What a run's int8 file loses against its float network, and in which layers.

python -m pipelines.quantization_report --run=runs/...
python -m pipelines.quantization_report --run=runs/... --data_dir=photos --images=40
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError
from mnext_tf.report import quantization
from pipelines import _cli, _runs

flags.adopt_module_key_flags(_runs)
STAGE = flags.DEFINE_enum("stage", quantization.STAGES[0], quantization.STAGES, "Which int8 file of the run.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Images, with or without labels, in any layout. Without it: the run's validation images."
)
IMAGES = flags.DEFINE_integer("images", 100, "Of these, how many the layers are compared on, one layer at a time.")
MAX_IMAGES = flags.DEFINE_integer(
    "max_images", None, "Images for the file as a whole, at most. Without it: as at the export, or all of --data_dir."
)
OUT = flags.DEFINE_string("out", None, "Folder for the results. Without it: quantization_report in the run.")


def main() -> None:
    for flag in (IMAGES, MAX_IMAGES):
        if flag.value is not None and flag.value < 1:
            raise ConfigError(f"--{flag.name} must be at least 1; received {flag.value}.")
    run = _runs.select_run()
    out = Path(OUT.value or run.folder / "quantization_report")
    report = quantization.quantization_report(
        run,
        STAGE.value,
        data_dir=Path(DATA_DIR.value) if DATA_DIR.value else None,
        images=IMAGES.value,
        max_images=MAX_IMAGES.value,
        out=out,
    )
    print(f"{report['file']} ({report['effort']}), {report['whole']['images']} images of {report['data']}")
    if report["skipped"]:
        print(f"{report['skipped']} damaged images left out")
    print(quantization.format_report(report))
    print(f"{out}: {', '.join(quantization.FILES)}")


if __name__ == "__main__":
    _cli.run(main)
