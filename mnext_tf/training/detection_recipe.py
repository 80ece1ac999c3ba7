"""What a recipe says in addition where it trains a detector."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mnext_tf.boxes import SCORINGS, DetectionSettings
from mnext_tf.data.box_augment import BoxAugment
from mnext_tf.errors import ConfigError
from mnext_tf.models.priors import PRIORS
from mnext_tf.records import Record, field, like

METRICS = ("val_map50", "val_loss")  # by which a detector's best epoch can be chosen
# Fields of a recipe that say nothing about detectors, and what they must be
UNUSED = {
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "class_balance": "none",
    "crop_fraction": 1.0,
    "crop_scale_min": 1.0,
    "color_jitter": 0.0,
    "shift": 0.0,
    "rand_augment": "",
    "erasing": 0.0,
    "erasing_mode": "pixel",
    "mixup": 0.0,
    "cutmix": 0.0,
}


@dataclass(frozen=True)
class DetectionRecipe(Record):
    """Every field is a flag of `pipelines.train`, for recipes of detectors."""

    priors: str = field("voc", "Prior boxes of a detector: those of the authors' VOC or COCO.", choices=PRIORS)
    scoring: str = field(
        "softmax",
        "Loss and scores of a detector: cross-entropy with hard negatives (softmax), or focal loss (sigmoid).",
        choices=SCORINGS,
    )
    empty_negatives: int = field(
        0, "Background priors that count in an image without objects, with softmax.", at_least=0, absent=0
    )
    distortion: float = like(BoxAugment, "distortion")
    swap_channels: float = like(BoxAugment, "swap_channels")
    expand: float = like(BoxAugment, "expand")
    expand_ratio_max: float = like(BoxAugment, "expand_ratio_max")
    crop_side_min: float = like(BoxAugment, "crop_side_min")
    score_threshold: float = like(DetectionSettings, "score_threshold")
    iou_threshold: float = like(DetectionSettings, "iou_threshold")
    max_detections: int = like(DetectionSettings, "max_detections")

    def settings(self) -> DetectionSettings:
        """How the outputs of the trained network become detections."""
        return DetectionSettings(**{f.name: getattr(self, f.name) for f in dataclasses.fields(DetectionSettings)})


def check_task(recipe) -> None:
    """Raise ConfigError where a recipe has settings of the other task."""
    if recipe.detection is None:
        if recipe.monitor == "val_map50":
            raise ConfigError("monitor=val_map50 is for detectors; a classifier has val_accuracy.")
        return
    if recipe.qat:
        raise ConfigError("qat is for classifiers; export a detector to int8 as it is.")
    if recipe.monitor not in METRICS:
        raise ConfigError(f"monitor of a detector must be one of {', '.join(METRICS)}; received {recipe.monitor!r}.")
    for name, off in UNUSED.items():
        if (value := getattr(recipe, name)) != off:
            raise ConfigError(
                f"{name}={value} is for classifiers and changes nothing about a detector. Leave it at {off!r}."
            )


def with_detection(name: str, recipe, given: dict) -> dict:
    """The fields that are `given` in place of the recipe's, where those of its `detection` are one.

    Raises ConfigError where a classifier is given one of them.
    """
    ours = {f.name for f in dataclasses.fields(DetectionRecipe)}
    detection = {k: v for k, v in given.items() if k in ours}
    if not detection:
        return given
    if recipe.detection is None:
        first = next(iter(detection))
        raise ConfigError(
            f"{first} is for detectors, and recipe {name} trains a classifier. Leave out --{first}, or take a recipe "
            "of a detector, such as --recipe=finetune_detector."
        )
    rest = {k: v for k, v in given.items() if k not in ours}
    return rest | {"detection": dataclasses.replace(recipe.detection, **detection)}
