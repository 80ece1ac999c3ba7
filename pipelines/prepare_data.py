"""Check images once and write them to TFRecord shards, which training reads fast.

python -m pipelines.prepare_data --data_dir=imagenet --out=data/imagenet
python -m pipelines.prepare_data --data_dir=photos
python -m pipelines.prepare_data --dataset=tfds:tf_flowers

--data_dir holds train/<class>/ and val/<class>/ (or valid/, test/), <class>/ alone, train_list.txt and val_list.txt
with lines `path label`, labels.csv, or ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar; or boxes as in VOC
(JPEGImages/, Annotations/), COCO (annotations/*.json), or KITTI (image_2/, label_2/). Stopped or killed, the same
command resumes.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError
from pipelines import _cli, _flags

DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder with the images, or with ILSVRC2012's archives.")
DATASET = flags.DEFINE_string("dataset", None, "tfds:NAME instead: downloaded and checked; its own shards are read.")
OUT = flags.DEFINE_string("out", None, "Folder to write. Without it: data/<name>. With --dataset: where downloads go.")
VAL_LABELS = flags.DEFINE_string(
    "val_labels",
    None,
    "File with the labels of ILSVRC2012's validation images, where these are renamed: WordNet ids one a line, or lines "
    "`name label`. Without it: ImageNet's own.",
)
VALIDATION_SHARE = flags.DEFINE_float(
    "validation_share", 0.1, "Share of the images held out for validation, for data without a validation split."
)
LABEL_OFFSET = flags.DEFINE_integer("label_offset", None, "Label of the first class in list files without a label 0.")
MAX_MEGAPIXELS = _flags.max_megapixels()
SHARD_MEGABYTES = flags.DEFINE_integer("shard_megabytes", 128, "Approximate size of a shard.")
WORKERS = flags.DEFINE_integer("workers", None, "Threads. Without it: one per core. The shards are the same.")
FORCE = flags.DEFINE_bool("force", False, "Remove the shards that are in --out and write them again.")
_SHOWN = 5


def main() -> None:
    if bool(DATA_DIR.value) == bool(DATASET.value):
        raise ConfigError("Give --data_dir=FOLDER or --dataset=tfds:NAME, one of the two.")
    for flag in (SHARD_MEGABYTES, MAX_MEGAPIXELS):
        if not flag.value >= 1:
            raise ConfigError(f"--{flag.name} must be at least 1; received {flag.value}.")
    max_pixels = _flags.pixels(MAX_MEGAPIXELS)
    if DATASET.value:
        _check_tfds(max_pixels)
        return
    from mnext_tf.data.prepare import prepare
    from mnext_tf.data.sources.layouts import list_images

    source = Path(DATA_DIR.value)
    out = Path(OUT.value) if OUT.value else Path("data") / source.resolve().name
    if out.resolve() == source.resolve():
        raise ConfigError(f"--out is the folder of the images, {source}; choose another one.")
    listing = list_images(
        source,
        validation_share=VALIDATION_SHARE.value,
        label_offset=LABEL_OFFSET.value,
        val_labels=VAL_LABELS.value,
    )
    for note in listing.notes:
        _cli.log(note)
    record = prepare(
        listing,
        out,
        shard_bytes=SHARD_MEGABYTES.value << 20,
        workers=WORKERS.value,
        force=FORCE.value,
        max_pixels=max_pixels,
    )
    print(_summary(record, out))


def _check_tfds(max_pixels: int) -> None:
    from mnext_tf.data import open_dataset

    if not DATASET.value.startswith("tfds:"):
        raise ConfigError(f"--dataset must be tfds:NAME, for example tfds:tf_flowers; received {DATASET.value!r}.")
    if unused := [f"--{f.name}" for f in (VAL_LABELS, LABEL_OFFSET, WORKERS) if f.value is not None]:
        raise ConfigError(f"{', '.join(unused)} is for image files; leave it out with --dataset.")
    cache = OUT.value or "data"
    dataset = open_dataset(
        DATASET.value, cache, validation_share=VALIDATION_SHARE.value, max_pixels=max_pixels, verify=FORCE.value
    )
    record = {
        "splits": dataset.splits,
        "class_names": dataset.class_names,
        "class_counts": dataset.class_counts,
        "box_counts": dataset.box_counts,
        "labelled": True,
    }
    print(_summary(record, dataset.folder))


def _summary(record: dict, out: Path) -> str:
    """What was written, in lines for a reader."""
    images = ", ".join(f"{count} {split}" for split, count in record["splits"].items())
    if record.get("box_counts"):
        counts = record["box_counts"]["train"]
        classes = f"{len(counts)} classes of {min(counts)} to {max(counts)} training boxes"
    elif record["labelled"]:
        counts = record["class_counts"]["train"]
        classes = f"{len(counts)} classes of {min(counts)} to {max(counts)} training images"
    else:
        classes = "no labels: for calibrating and comparing networks, not for training"
    lines = [f"{out}: {images} images; {classes}"]
    for split, kinds in record.get("objects", {}).items():
        lines.append(f"{split}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    for word, key in (("skipped", "skipped"), ("mislabeled", "mislabelled")):
        if entries := record.get(key):
            lines.append(f"{len(entries)} {word}, listed in {out / 'dataset.json'}:")
            lines += [f"  {name}: {reason}" for name, reason in entries[:_SHOWN]]
            lines += ["  …"] if len(entries) > _SHOWN else []
    lines += [f"{count} {remark}" for remark, count in record.get("remarks", {}).items()]
    if record.get("ignored"):
        lines.append(f"{record['ignored']} other files ignored")
    if record["labelled"]:
        lines.append(f"next: python -m pipelines.train --data_dir={out}")
    return "\n".join(lines)


if __name__ == "__main__":
    _cli.run(main)
