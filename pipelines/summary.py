"""Parameters and multiply-adds of the networks, by width.

python -m pipelines.summary --models=mnext,mobilenet_v2 --widths=0.5,1.0
python -m pipelines.summary --models=mnext --widths=1.0 --layers
python -m pipelines.summary --input_size=32 --output_stride=16
python -m pipelines.summary --priors=voc --widths=1.0
"""

from absl import flags

from mnext_tf.data.detection_classes import COCO, VOC
from mnext_tf.errors import ConfigError
from mnext_tf.files import write_csv
from mnext_tf.models import list_models
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.priors import PRIORS as PRIOR_BOXES
from mnext_tf.models.ssdlite import BACKBONES
from mnext_tf.models.summary import layer_costs
from mnext_tf.naming import full_name_of
from pipelines import _cli, _flags

MODELS = flags.DEFINE_list(
    "models",
    None,
    f"Networks: any of {', '.join(list_models())}. Without it: all, or all that detectors are built on.",
)
PRIORS = flags.DEFINE_enum(
    "priors", "", ["", *PRIOR_BOXES], "SSDLite detectors on the networks, with these prior boxes; empty: classifiers."
)
WIDTHS = flags.DEFINE_list("widths", "0.35,0.5,0.75,1.0,1.4", "Width multipliers.")
INPUT_SIZE = flags.DEFINE_integer("input_size", None, "Input size, in pixels. Without it: 224; of detectors 320.")
OUTPUT_STRIDE = _flags.define(ModelConfig, "output_stride", default=ModelConfig.output_stride)
NUM_CLASSES = flags.DEFINE_integer(
    "num_classes", None, "Classes. Without it: 1000; of detectors those of VOC or COCO, 20 or 80."
)
LAYERS = flags.DEFINE_bool("layers", False, "List every layer that has a cost, too.")
CSV = flags.DEFINE_string("csv", None, "Also write the table to this CSV file.")


def main() -> None:
    try:
        widths = [float(w) for w in WIDTHS.value]
    except ValueError as e:
        raise ConfigError(f"--widths takes comma-separated numbers; received {','.join(WIDTHS.value)!r}.") from e
    size, classes = {"": (224, 1000), "voc": (320, len(VOC)), "coco": (320, len(COCO))}[PRIORS.value]
    common = {"input_size": size, "output_stride": OUTPUT_STRIDE.value, "num_classes": classes}
    common |= {f.name: f.value for f in (INPUT_SIZE, NUM_CLASSES) if f.value is not None}
    names = MODELS.value or (BACKBONES if PRIORS.value else list_models())
    models = [ModelConfig(name, width=width, priors=PRIORS.value, **common) for name in names for width in widths]

    rows = []
    print(f"{'model':20}{'width':>6}{'parameters':>13}{'multiply-adds':>15}   at {common['input_size']} pixels")
    for model in models:
        costs = layer_costs(model.outline())
        parameters, madds = sum(c.parameters for c in costs), sum(c.multiply_adds for c in costs)
        print(f"{full_name_of(model):20}{model.width:6.2f}{parameters:13,}{madds / 1e6:13.1f} M")
        row = {"model": full_name_of(model), "width": model.width, **common}
        rows.append({**row, "parameters": parameters, "multiply_adds": madds})
        for c in costs if LAYERS.value else ():
            if c.parameters or c.multiply_adds:
                shape = "x".join(map(str, c.output_shape))
                print(f"    {c.name:28}{c.kind:20}{shape:>14}{c.parameters:>12,}{c.multiply_adds / 1e6:>10.2f} M")
    if CSV.value:
        write_csv(CSV.value, rows)


if __name__ == "__main__":
    _cli.run(main)
