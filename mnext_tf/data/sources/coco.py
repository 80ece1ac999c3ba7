"""COCO: instances in JSON files, in annotations/, beside the images, or in a folder for each split."""

from __future__ import annotations

import json
import mmap
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.data.objects import OTHER_CLASS, annotation, annotation_row
from mnext_tf.data.sources.annotated import label_classes, listing_of
from mnext_tf.data.sources.file_walk import ImageSearch
from mnext_tf.data.sources.listing import ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import DataError
from mnext_tf.text import path_text, printable

_HEAD = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_HEAD_BYTES = 1 << 20
_SPLITS = {"train": re.compile("train"), "validation": re.compile("val|test")}
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_PROBED = 20  # images that are looked for to find their folder
_NOWHERE = (float("nan"),) * 4


@dataclass
class Instances:
    """A JSON file. images: (id, file name, width, height); boxes: by image id, (category id, box or not, crowd, area);
    categories: name by id."""

    images: list[tuple]
    boxes: dict
    categories: dict


def matches(root: Path) -> bool:
    return bool(_json_files(root))


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    """The images that the JSON files name, by the splits that are in the files' names.

    A single file, or one whose name tells no split, is divided by a hash. Classes are the categories by their ids,
    whatever gaps these have. Images without boxes are kept. Crowds are kept, and ignored in training and evaluation.
    """
    skipped: list[tuple[str, str]] = []
    files = _by_split(root, _json_files(root))
    read = {split: read_instances(path) for split, path in files.items()}
    names = [name for split in ("train", "validation") if split in read for name in read[split].categories.values()]
    label_of, class_names, notes = label_classes(root, names, options)
    splits = {}
    for split, instances in read.items():
        base = _image_folder(root, files[split], [name for _, name, _, _ in instances.images])
        splits[split] = _listed(base.relative_to(root).as_posix(), instances, label_of, files[split], skipped)
    held = {image.name for images in splits.values() for image in images}
    if hash_split := len(splits) == 1:
        splits = {"train": next(iter(splits.values()))}
    return listing_of(
        root,
        class_names,
        splits,
        "coco",
        hash_split=hash_split,
        skipped=skipped,
        ignored=sum(name not in held for name in ImageSearch(root).images()),
        notes=notes,
    )


def read_instances(path: Path) -> Instances:
    """A JSON file's content, without outlines and key points: these are dropped while it is read, so that memory stays
    near that of the text.

    Raises DataError naming the file where it is damaged or has other content.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8-sig"), object_hook=_small)
        images, boxes = held["images"], defaultdict(list)
        for image_id, category, *box in held["annotations"]:
            hash(category)  # a list is no id
            boxes[image_id].append((category, *box))
        categories = {c["id"]: str(c["name"]).strip() for c in sorted(held["categories"], key=lambda c: c["id"])}
        if not all(isinstance(image, tuple) and isinstance(image[1], str) for image in images):
            raise TypeError("an image has no id or file_name")
    except KeyError as error:
        raise DataError(f"{path} has no {error}; COCO's instances have images, annotations, and categories.") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged, or not as COCO's instances are: {error}. Get it again.") from error
    return Instances(images, boxes, categories)


def _small(value: dict):
    """What is needed of an object in the file; it is called for the innermost first."""
    if "image_id" in value:
        return tuple(value.get(key) for key in ("image_id", "category_id", "bbox", "iscrowd", "area"))
    if "file_name" in value and "id" in value:
        return tuple(value.get(key) for key in ("id", "file_name", "width", "height"))
    return None if "counts" in value else value


def _json_files(root: Path) -> list[Path]:
    """The files with boxes: in annotations/, or here, or one in a folder for each split."""
    for pattern in ("annotations/*.json", "*.json", "*/_annotations.coco.json"):
        found = [p for p in sorted(root.glob(pattern)) if not p.name.startswith(_OTHER_TASKS) and p.is_file()]
        found = [path for path in found if _has_instances(path)]
        if any(_mentions(path, b'"bbox"') for path in found):
            return [p for p in found if p.name.startswith("instances_")] or found
    return []


def _has_instances(path: Path) -> bool:
    with open(path, "rb") as f:
        return bool(_HEAD.search(f.read(_HEAD_BYTES)))


def _mentions(path: Path, text: bytes) -> bool:
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0


def _by_split(root: Path, files: list[Path]) -> dict[str, Path]:
    """The file of each split; a single file counts for training. Raises DataError where it is not clear."""
    if len(files) == 1:
        return {"train": files[0]}
    found: dict[str, list[Path]] = {}
    for path in files:
        name = path.parent.name if path.name.startswith("_") else path.stem.removeprefix("instances_")
        split = next((split for split, word in _SPLITS.items() if word.search(name.lower())), "neither")
        found.setdefault(split, []).append(path)
    if len(found.get("validation", ())) > 1:  # val before test
        found["validation"] = [p for p in found["validation"] if "val" in str(p.relative_to(root)).lower()]
    if set(found) - {"neither"} != {"train", "validation"} or any(len(paths) != 1 for paths in found.values()):
        raise DataError(
            f"{root} has {', '.join(path_text(p.relative_to(root)) for p in files[:6])}: one file for training and one "
            "for validation are needed, with train and val in their names, or a single file. Move the others away."
        )
    return {split: found[split][0] for split in ("train", "validation")}


def _image_folder(root: Path, file: Path, names: list[str]) -> Path:
    """The folder that the file names of images are relative to: the one that has the most of the first of them."""
    split = file.stem.removeprefix("instances_")
    bases = (split, f"images/{split}", "images", "", *(p.name for p in sorted(root.iterdir()) if p.is_dir()))
    places = [file.parent, *(root / base for base in bases)]
    step = max(1, len(names) // _PROBED)

    def count(place: Path) -> int:
        return sum(os.path.isfile(os.path.join(place, name)) for name in names[::step][:_PROBED] if "\0" not in name)

    return max(dict.fromkeys(p for p in places if p.is_relative_to(root)), key=count)


def _listed(base: str, instances: Instances, label_of: dict[str, int], file: Path, skipped) -> list[ListedImage]:
    """The images with their boxes; those that come twice, and boxes of images that are not there, go to `skipped`."""
    images: dict[str, ListedImage] = {}
    label = {number: label_of[name] for number, name in instances.categories.items()}
    for image_id, file_name, width, height in instances.images:
        name = os.path.normpath(os.path.join(base, file_name))
        boxes = instances.boxes.pop(image_id, [])
        if name in images:
            skipped.append((path_text(name), f"{file.name} lists it twice; it counts once, with the first one's boxes"))
            continue
        rows = [_row(label.get(category, OTHER_CLASS), *values) for category, *values in boxes]
        images[name] = ListedImage(name, None, None, annotation(rows, _side(width), _side(height)))
    for image_id, boxes in instances.boxes.items():
        skipped.append(
            (f"{file.name}, image {printable(image_id)}", f"{len(boxes)} boxes, but no such image is listed")
        )
    return list(images.values())


def _row(label: int, box, crowd, area) -> tuple[float, ...]:
    if isinstance(box, list) and len(box) == 4 and all(isinstance(v, int | float) for v in box):
        x, y, width, height = map(float, box)
        corners = (x, y, x + width, y + height)
    else:
        corners = _NOWHERE
    area = float(area) if isinstance(area, int | float) and area > 0 else float("nan")
    return annotation_row(corners, label, crowd=bool(crowd), area=area)


def _side(value) -> int:
    return value if isinstance(value, int) and value > 0 else 0
