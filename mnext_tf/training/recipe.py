"""The settings of a training, in one record; `training.recipes` has good values for several data sets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from mnext_tf.data.augment import Augment
from mnext_tf.data.box_augment import BoxAugment
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError
from mnext_tf.models.config import ModelConfig, default_output_stride
from mnext_tf.records import Record, check_field, field, like
from mnext_tf.training.detection_recipe import DetectionRecipe, check_task

METRICS = ("val_accuracy", "val_loss", "val_top5_accuracy", "val_macro_f1", "val_map50")


def _later(default, help: str, **metadata):
    """A field that version 1 did not have; it stood for the default."""
    return field(default, help, **{"absent": default, **metadata})


@dataclass(frozen=True)
class Recipe(Record):
    """Every field is a flag of `pipelines.train`, and so are those of `detection`.

    The defaults are the authors' for MobileNeXt 1.0 on ImageNet.
    """

    VERSION: ClassVar[int] = 2

    # network
    width: float = like(ModelConfig, "width")
    input_size: int = like(ModelConfig, "input_size")
    output_stride: int | None = field(
        None, "Input size over that of the last map. Without it: by the input size.", choices=(8, 16, 32), absent=32
    )
    identity_tensor_multiplier: float = like(ModelConfig, "identity_tensor_multiplier")
    dropout: float = field(0.2, "Dropout rate before the last dense layer.", at_least=0, below=1)
    drop_connect: float = like(ModelConfig, "drop_connect")
    # schedule: linear warm-up, then cosine, step or constant, then cool-down epochs at the final rate
    schedule: str = _later("cosine", "Shape of the learning rate.", choices=("cosine", "step", "constant"))
    epochs: int = field(210, "Epochs in all, warm-up and cool-down included.", at_least=1)
    warmup_epochs: float = field(3, "Epochs of linear warm-up; 0.5 is half an epoch.", at_least=0)
    cooldown_epochs: float = field(10, "Epochs at the final learning rate; 0.5 is half an epoch.", at_least=0)
    decay_rate: float = _later(0.97, "Factor of one step of the step schedule.", above=0, at_most=1)
    decay_epochs: float = _later(2.4, "Epochs between two steps of the step schedule; may be fractional.", above=0)
    decay_begin: float = _later(0.0, "Epochs from the start after which the step schedule counts.", at_least=0)
    batch_size: int = field(256, "Images per step, over all devices.", at_least=2, why="(batch norm needs a batch)")
    accumulate: int = _later(
        1, "Gradient accumulation: a batch is computed in this many parts, to save memory.", at_least=1
    )
    learning_rate: float = field(0.1, "Learning rate after the warm-up.", above=0)
    reference_batch_size: int = field(
        256,
        "Batch size that learning_rate is for; it scales linearly with batch_size. 0: it is taken as it is.",
        at_least=0,
        absent=0,
    )
    warmup_learning_rate: float = field(1e-4, "Learning rate of the first step.", above=0)
    final_learning_rate: float = field(1e-5, "Learning rate of the cool-down, and the least of the others.", above=0)
    qat: bool = _later(False, "Quantization-aware training of an int8 file, from a trained run of the same classes.")
    # optimizer
    optimizer: str = _later("sgd", "Optimizer.", choices=("sgd", "rmsprop_tf", "adamw", "yellowfin"))
    momentum: float = field(0.9, "Momentum; beta 1 of AdamW.", at_least=0, below=1)
    nesterov: bool = field(True, "Nesterov momentum, of SGD.")
    rho: float = _later(0.9, "Decay of RMSprop's mean square.", at_least=0, below=1)
    beta_2: float = _later(0.999, "Decay of AdamW's mean square.", at_least=0, below=1)
    epsilon: float = _later(1e-3, "Epsilon of RMSprop, inside the root, and of AdamW.", above=0)
    weight_decay: float = field(
        1e-4, "L2 decay of convolution and dense kernels; decoupled with adamw.", at_least=0, below=1
    )
    decay_all: bool = _later(False, "Decay batch norm and biases as well.")
    clip_norm: float = _later(0.0, "Largest global norm of the gradients; 0: no clipping.", at_least=0)
    freeze: str = _later("", "Layers to keep fixed: backbone, batch_norm, or the start of layer names; a,b.")
    backbone_learning_rate: float = _later(1.0, "Factor on the learning rate of all but the head.", above=0)
    # loss and regularization
    label_smoothing: float = field(0.1, "Label smoothing.", at_least=0, below=1)
    ema_decay: float = _later(
        0.0, "Decay of an exponential moving average of the weights; 0: none.", at_least=0, below=1
    )
    class_balance: str = _later(
        "none", "Rare classes count more (weights) or are drawn more often (sampling).",
        choices=("none", "weights", "sampling"),
    )  # fmt: skip
    distill_temperature: float = _later(2.0, "Temperature of the softmax that a --teacher is matched at.", above=0)
    distill_weight: float = _later(0.5, "Share of the teacher in the loss.", at_least=0, at_most=1)
    # pruning
    sparsity: float = _later(
        0.0, "Share of the weights of every 1x1 convolution that become zero; 0: none.", at_least=0, below=1
    )
    pruning_epochs: float | None = _later(
        None, "Epochs over which the sparsity rises; only later ones are kept. Without it: the first half.", above=0
    )
    # images
    crop_fraction: float = like(Preprocess, "crop_fraction")
    interpolation: str = like(Preprocess, "interpolation")
    crop_scale_min: float = like(Augment, "crop_scale_min")
    flip: bool = like(Augment, "flip")
    color_jitter: float = like(Augment, "color_jitter")
    shift: float = like(Augment, "shift")
    rand_augment: str = like(Augment, "rand_augment")
    erasing: float = like(Augment, "erasing")
    erasing_mode: str = like(Augment, "erasing_mode")
    mixup: float = like(Augment, "mixup")
    cutmix: float = like(Augment, "cutmix")
    # which weights are kept
    monitor: str = _later("val_accuracy", "Metric by which the best epoch is chosen.", choices=METRICS)
    patience: int = _later(0, "Stop after this many epochs without a better one; 0: never.", at_least=0)
    keep_last: bool = field(False, "Keep the weights of the last epoch in place of the best one's.", absent=True)
    # computation
    precision: str = _later(
        "float32", "Type that layers compute in; weights stay float32.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )  # fmt: skip
    sync_batch_norm: bool = _later(False, "Batch statistics over all devices in place of each device's own.")
    data_streams: int = _later(
        1, "Groups of shards that are shuffled apart; as many workers each read their own.", at_least=1
    )
    seed: int = field(0, "Seed of initial weights, order and augmentation.", at_least=0, below=2**32)
    detection: DetectionRecipe | None = _later(None, "Settings of a detector; none: the recipe is for classifiers.")

    def __post_init__(self):
        super().__post_init__()
        self.augment()  # checks what it takes
        check_task(self)
        if self.warmup_epochs + self.cooldown_epochs >= self.epochs:
            raise ConfigError(
                f"warmup_epochs ({self.warmup_epochs:g}) and cooldown_epochs ({self.cooldown_epochs:g}) must leave "
                f"some of the {self.epochs} epochs between them; raise --epochs or lower those."
            )
        for name in ("warmup_learning_rate", "final_learning_rate"):
            if getattr(self, name) > self.peak_learning_rate:
                scaled = "" if self.peak_learning_rate == self.learning_rate else ", scaled to batch_size"
                raise ConfigError(
                    f"{name} ({getattr(self, name):g}) must not be above learning_rate ({self.peak_learning_rate:g}"
                    f"{scaled}), the peak. Lower --{name} too."
                )
        if self.optimizer == "sgd" and self.nesterov and self.momentum == 0:
            raise ConfigError("nesterov needs a momentum above 0; give --nonesterov or a --momentum.")
        if self.batch_size % self.accumulate or self.batch_size == self.accumulate:
            raise ConfigError(
                f"batch_size ({self.batch_size}) must be a multiple of accumulate ({self.accumulate}), with two images "
                "or more in a part."
            )
        if self.qat and self.precision != "float32":
            raise ConfigError(f"qat rounds to int8 in float32; remove --precision={self.precision}.")
        if self.pruning_epochs is not None and not self.sparsity:
            raise ConfigError("pruning_epochs says how fast the sparsity rises; give --sparsity=0.8 or the like, too.")
        if self.pruning_epochs is not None and self.pruning_epochs >= self.epochs:
            raise ConfigError(
                f"pruning_epochs ({self.pruning_epochs:g}) must be below epochs ({self.epochs}): in those that are "
                "left the network recovers, and the best is kept."
            )
        if self.class_balance == "weights" and (self.mixup or self.cutmix):
            raise ConfigError("class_balance=weights does not fit mixup and cutmix; use class_balance=sampling.")

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after the warm-up, for this batch size (Goyal et al., arXiv 1706.02677)."""
        scale = self.batch_size / self.reference_batch_size if self.reference_batch_size else 1.0
        return self.learning_rate * scale

    @property
    def rising_epochs(self) -> float:
        """Epochs until the full sparsity; 0 without pruning. Only epochs that end later can be kept."""
        if not self.sparsity:
            return 0.0
        return self.epochs / 2 if self.pruning_epochs is None else self.pruning_epochs

    def preprocess(self) -> Preprocess:
        return self._part(Preprocess, **({"fit": "squash"} if self.detection else {}))

    def augment(self) -> Augment:
        return self._part(Augment)

    def box_augment(self) -> BoxAugment:
        """What images with boxes go through, where this is a detector's recipe."""
        return self._part(BoxAugment)

    def model(self, name: str, num_classes: int = 1000, options: dict | None = None) -> ModelConfig:
        """The network that this recipe trains. Raises ConfigError where recipe or options do not fit it."""
        stride = self.output_stride or (32 if self.detection else default_output_stride(self.input_size))
        options = options or {}
        return self._part(ModelConfig, name=name, num_classes=num_classes, output_stride=stride, options=options)

    def _part(self, cls, **more):
        values = vars(self) | (vars(self.detection) if self.detection else {})
        return cls(**{f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values} | more)


def derived_fields(name: str, recipe: Recipe, given: dict) -> dict:
    """The fields that follow from those that are `given` in place of the recipe's, as `recipes.resolve_recipe` says.

    Raises ConfigError where another optimizer is given without the rates that it needs.
    """
    more = {}
    if "epochs" in given:
        check_field(Recipe.__dataclass_fields__["epochs"], int, given["epochs"])
        more |= {f: min(getattr(recipe, f), given["epochs"] / 4) for f in ("warmup_epochs", "cooldown_epochs")}
    if "learning_rate" in given:
        more["reference_batch_size"] = given.get("batch_size", recipe.batch_size)
        for field_name in ("warmup_learning_rate", "final_learning_rate"):
            if 0 < given["learning_rate"] < getattr(recipe, field_name):
                more[field_name] = given["learning_rate"]
    optimizer = given.get("optimizer", recipe.optimizer)
    if optimizer != recipe.optimizer:
        more |= _rates_of_another(optimizer, name, recipe, given)
    return {k: v for k, v in more.items() if k not in given}


def _rates_of_another(optimizer: str, name: str, recipe: Recipe, given: dict) -> dict:
    if "adamw" not in (optimizer, recipe.optimizer):
        unscaled = optimizer == "yellowfin" and "learning_rate" not in given
        return {"learning_rate": 1.0, "reference_batch_size": 0} if unscaled else {}
    missing = [f"--{rate}" for rate in ("learning_rate", "weight_decay") if rate not in given]
    if missing:
        usual = {"adamw": "0.001 and 0.05", "yellowfin": "1 and 0.0001"}.get(optimizer, "0.01 and 0.0001")
        raise ConfigError(
            f"The learning rate and weight decay of recipe {name} are for {recipe.optimizer}, and those of "
            f"{optimizer} differ: give {' and '.join(missing)} too. For fine-tuning, {usual} are usual."
        )
    return {"epsilon": 1e-8 if optimizer == "adamw" else Recipe().epsilon}
