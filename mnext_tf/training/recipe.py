"""The settings of a training, and good values for several data sets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mnext_tf.data.augment import Augment
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError, one_of
from mnext_tf.models.config import ModelConfig
from mnext_tf.records import Record, check_field, field


def _like(cls, name: str):
    """The field `name` of another record: its default, help and range."""
    f = cls.__dataclass_fields__[name]
    return field(f.default, **f.metadata)


@dataclass(frozen=True)
class Recipe(Record):
    """Every field is a flag of `pipelines.train`. The defaults are the authors' for ImageNet."""

    # network
    width: float = _like(ModelConfig, "width")
    input_size: int = _like(ModelConfig, "input_size")
    identity_tensor_multiplier: float = _like(ModelConfig, "identity_tensor_multiplier")
    dropout: float = field(0.2, "Dropout rate before the last dense layer.", at_least=0, below=1)
    # schedule: linear warm-up, cosine to the final rate, then cool-down epochs at that rate
    epochs: int = field(210, "Epochs in all, warm-up and cool-down included.", at_least=1)
    warmup_epochs: float = field(3, "Epochs of linear warm-up; 0.5 is half an epoch.", at_least=0)
    cooldown_epochs: float = field(10, "Epochs at the final learning rate; 0.5 is half an epoch.", at_least=0)
    batch_size: int = field(256, "Images per step.", at_least=2, why="(batch norm needs a batch)")
    learning_rate: float = field(0.1, "Learning rate after the warm-up.", above=0)
    warmup_learning_rate: float = field(1e-4, "Learning rate of the first step.", above=0)
    final_learning_rate: float = field(1e-5, "Learning rate of the cool-down.", above=0)
    # SGD; the decay is L2, on convolution and dense kernels only
    momentum: float = field(0.9, "Momentum of SGD.", at_least=0, below=1)
    nesterov: bool = field(True, "Nesterov momentum.")
    weight_decay: float = field(1e-4, "L2 decay of convolution and dense kernels.", at_least=0, below=1)
    label_smoothing: float = field(0.1, "Label smoothing.", at_least=0, below=1)
    # images
    crop_fraction: float = _like(Preprocess, "crop_fraction")
    interpolation: str = _like(Preprocess, "interpolation")
    crop_scale_min: float = _like(Augment, "crop_scale_min")
    flip: bool = _like(Augment, "flip")
    color_jitter: float = _like(Augment, "color_jitter")
    shift: float = _like(Augment, "shift")
    seed: int = field(0, "Seed of initial weights, order and augmentation.", at_least=0, below=2**32)

    def __post_init__(self):
        super().__post_init__()
        if self.warmup_epochs + self.cooldown_epochs >= self.epochs:
            raise ConfigError(
                f"warmup_epochs ({self.warmup_epochs:g}) and cooldown_epochs ({self.cooldown_epochs:g}) must leave "
                f"some of the {self.epochs} epochs between them; raise --epochs or lower those."
            )
        for name in ("warmup_learning_rate", "final_learning_rate"):
            if getattr(self, name) > self.learning_rate:
                raise ConfigError(
                    f"{name} ({getattr(self, name):g}) must not be above learning_rate ({self.learning_rate:g}), the "
                    "peak."
                )
        if self.nesterov and self.momentum == 0:
            raise ConfigError("nesterov needs a momentum above 0; give --nonesterov or a --momentum.")

    def preprocess(self) -> Preprocess:
        return self._part(Preprocess)

    def augment(self) -> Augment:
        return self._part(Augment)

    def model(self, name: str, num_classes: int = 1000, options: dict | None = None) -> ModelConfig:
        """The network that this recipe trains. Raises ConfigError where recipe or options do not fit it."""
        return self._part(ModelConfig, name=name, num_classes=num_classes, options=options or {})

    def _part(self, cls, **more):
        shared = {f.name for f in dataclasses.fields(cls)} & {f.name for f in dataclasses.fields(self)}
        return cls(**{name: getattr(self, name) for name in shared}, **more)


RECIPES = {
    "imagenet": Recipe(),
    # From scratch on a few thousand images: shorter, gentler crops.
    "photos": Recipe(
        input_size=160,
        epochs=40,
        warmup_epochs=3,
        cooldown_epochs=2,
        batch_size=64,
        learning_rate=0.05,
        crop_scale_min=0.35,
        color_jitter=0.2,
    ),
    # From weights trained on similar images (--init): a tenth of the rate, few epochs.
    "finetune": Recipe(
        epochs=10,
        warmup_epochs=1,
        cooldown_epochs=1,
        batch_size=32,
        learning_rate=0.01,
        crop_scale_min=0.35,
        color_jitter=0.2,
    ),
    # 8x8 pixels: no flips (2 and 5), no color jitter, a shift of half a pixel.
    "digits": Recipe(
        input_size=32,
        dropout=0.0,
        epochs=15,
        warmup_epochs=2,
        cooldown_epochs=2,
        batch_size=32,
        learning_rate=0.02,
        final_learning_rate=1e-4,
        crop_fraction=1.0,
        interpolation="bilinear",
        crop_scale_min=1.0,
        flip=False,
        color_jitter=0.0,
        shift=0.06,
    ),
}


def resolve_recipe(base: str, overrides: dict) -> Recipe:
    """The named recipe with some fields replaced.

    Where `epochs` is given, warm-up and cool-down take at most a quarter of them each, unless they are given too.

    Raises ConfigError, before any data is opened, for an unknown name or a contradiction.
    """
    one_of("recipe", base, RECIPES)
    overrides = {k: v for k, v in overrides.items() if v is not None}
    for name in overrides:
        one_of("recipe field", name, [f.name for f in dataclasses.fields(Recipe)])
    recipe = RECIPES[base]
    if "epochs" in overrides:
        check_field(Recipe.__dataclass_fields__["epochs"], int, overrides["epochs"])
        for name in ("warmup_epochs", "cooldown_epochs"):
            overrides.setdefault(name, min(getattr(recipe, name), overrides["epochs"] / 4))
    return dataclasses.replace(recipe, **overrides)
