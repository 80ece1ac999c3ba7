"""config.json of a run: what it is, in one versioned record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mnext_tf.boxes import DetectionSettings
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError
from mnext_tf.models.config import ModelConfig
from mnext_tf.records import Record, field
from mnext_tf.training.recipe import Recipe

INITS = ("trained", "imported", "random")  # where the weights come from


@dataclass(frozen=True)
class DatasetConfig(Record):
    """Where the data of a run is, and enough to notice that it has changed."""

    name: str
    folder: str
    fingerprint: str
    num_train: int
    num_validation: int
    cache_dir: str | None = field(None, absent=None)
    label_offset: int = field(1, absent=1)
    validation_share: float | None = field(None, absent=None)

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetConfig:
        return cls(
            name=dataset.name,
            folder=str(Path(dataset.folder).absolute()),
            fingerprint=dataset.fingerprint,
            num_train=dataset.splits["train"],
            num_validation=dataset.splits["validation"],
            cache_dir=None if dataset.cache_dir is None else str(Path(dataset.cache_dir).absolute()),
            label_offset=dataset.label_offset,
            validation_share=dataset.validation_share,
        )


@dataclass(frozen=True)
class ImportSource(Record):
    """The checkpoint that imported weights come from."""

    file: str
    sha256: str
    bytes: int
    format: str
    naming: str
    entry: str | None = None
    drop_background: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InitialWeights(Record):
    """The run whose weights a training starts from, or learns from."""

    run: str
    weights_sha256: str


@dataclass(frozen=True)
class RunConfig(Record):
    """Enough to build, train, export and preprocess without any flag.

    class_names: in order of the logits. recipe: of trained runs. verify_images: validation images, at most, that every
    export is compared on. detection: how a detector's outputs become detections; None for a classifier. created,
    versions: when, and with which packages, the run was made.
    """

    VERSION: ClassVar[int] = 2

    model: ModelConfig
    init: str = field(choices=INITS)
    dataset: DatasetConfig
    class_names: tuple[str, ...]
    preprocess: Preprocess
    recipe: Recipe | None = field(absent=None)
    seed: int = field(0, absent=0)
    verify_images: int = field(1000, at_least=1, absent=1000)
    source: ImportSource | None = field(None, absent=None)
    init_from: InitialWeights | None = field(None, absent=None)
    teacher: InitialWeights | None = field(None, absent=None)
    task: str = field("classification", choices=("classification", "detection"), absent="classification")
    detection: DetectionSettings | None = field(None, absent=None)
    created: str = field("", absent="")
    versions: dict = field({}, absent={})

    def __post_init__(self):
        super().__post_init__()
        if (self.task == "detection") != bool(self.model.priors) or bool(self.model.priors) != bool(self.detection):
            raise ConfigError(f"The task {self.task}, model.priors, and detection do not fit together.")
        if len(self.class_names) != self.model.num_classes:
            raise ConfigError(
                f"class_names must be one for each of the {self.model.num_classes} classes of the network; received "
                f"{len(self.class_names)}."
            )
