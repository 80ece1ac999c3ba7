"""KITTI: image_2/ and label_2/, in the folder itself or below training/."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mnext_tf.data.objects import OTHER_CLASS, REGION, Annotation, annotation, annotation_row
from mnext_tf.data.sources.annotated import images_by_stem, label_classes, listing_of, read_names
from mnext_tf.data.sources.file_walk import is_file_error
from mnext_tf.data.sources.listing import ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import DataError
from mnext_tf.text import path_text, printable

_DONT_CARE = "DontCare"
_NEIGHBORS = {"van": "car", "person_sitting": "pedestrian"}
_LISTS = {"train": ("train.txt",), "validation": ("val.txt", "validation.txt")}
_LIST_FOLDERS = ("", "ImageSets", "ImageSets/Main")


def matches(root: Path) -> bool:
    return _folder(root) is not None


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    """All labeled images: divided by train.txt and val.txt, here or in ImageSets/, else by a hash of the names.

    DontCare regions are kept as regions to ignore. Vans and sitting persons that are no classes of their own are
    difficult cars and pedestrians: neither learned nor, as in the benchmark, counted.
    """
    folder, skipped = _folder(root), []
    images = images_by_stem(folder / "image_2")
    labeled = {path.stem for path in (folder / "label_2").glob("*.txt")}
    lists = _lists(root, folder)
    names = {split: read_names(path, skipped) for split, path in lists.items()} if lists else {"train": sorted(images)}
    if not lists:
        skipped += [
            (f"label_2/{path_text(stem)}.txt", "there is no such image") for stem in sorted(labeled - set(images))
        ]
    parsed = {split: _parse_all(root, folder, own, images, skipped) for split, own in names.items()}
    found = {name for own in parsed.values() for _, objects in own for name, _ in objects} - {_DONT_CARE}
    label_of, class_names, notes = label_classes(root, sorted(found), options)
    label_of[_DONT_CARE] = REGION
    neighbors = _neighbors(label_of, class_names)
    label_of |= neighbors
    splits = {
        split: [ListedImage(n, None, None, _annotation(o, label_of, neighbors)) for n, o in own]
        for split, own in parsed.items()
    }
    return listing_of(
        root,
        class_names,
        splits,
        "kitti",
        hash_split=not lists,
        skipped=skipped,
        ignored=max(0, len(images) - sum(map(len, names.values()))),
        notes=notes,
    )


def parse_labels(text: str) -> list[tuple[str, dict]]:
    """(class name, values of `annotation_row` without the label) of every line. Raises DataError naming a bad line.

    A line has: type, truncation, occlusion, alpha, left, top, right, bottom, and seven numbers that are not needed.
    Corners are pixels from 0, with fractions. -1 for unknown truncation or occlusion becomes 0.
    """
    objects = []
    for number, line in enumerate(text.splitlines(), 1):
        if not (words := line.split()):
            continue
        try:
            truncation, occlusion, _, *box = map(float, words[1:8])
            if len(box) != 4:
                raise ValueError
        except ValueError:
            raise DataError(f"line {number} is not `type truncated occluded alpha left top right bottom …`") from None
        values = {"box": tuple(box), "truncation": max(0.0, truncation), "occlusion": max(0.0, occlusion)}
        objects.append((words[0], values))
    return objects


def _folder(root: Path) -> Path | None:
    both = (f for f in (root / "training", root) if (f / "image_2").is_dir() and (f / "label_2").is_dir())
    return next(both, None)


def _lists(root: Path, folder: Path) -> dict[str, Path]:
    places = [base / below for base in dict.fromkeys((root, folder)) for below in _LIST_FOLDERS]
    found = {
        split: next((p / name for p in places for name in names if (p / name).is_file()), None)
        for split, names in _LISTS.items()
    }
    present = {split: path for split, path in found.items() if path}
    if len(present) == 1:
        (split,) = set(_LISTS) - set(present)
        raise DataError(f"{root} has {next(iter(present.values()))} but no {_LISTS[split][0]} beside it. Write it too.")
    return present


def _parse_all(root: Path, folder: Path, stems: list[str], images: dict[str, str], skipped) -> list[tuple[str, list]]:
    """(path of the image below `root`, its objects); images without labels, and the reverse, go to `skipped`."""
    from tqdm import tqdm

    found = []
    for stem in tqdm(stems, desc="reading labels", unit="file", disable=None, leave=False):
        path = folder / "label_2" / f"{stem}.txt"
        shown = path_text(path.relative_to(root))
        if stem not in images:
            skipped.append((shown, f"there is no image {printable(stem)} in image_2"))
            continue
        try:
            objects = parse_labels(path.read_text(encoding="utf-8"))
        except (DataError, OSError, UnicodeDecodeError) as error:
            if isinstance(error, OSError) and not is_file_error(error):
                raise
            skipped.append((shown, error.strerror if isinstance(error, OSError) else str(error)))
            continue
        found.append(((folder / "image_2" / images[stem]).relative_to(root).as_posix(), objects))
    return found


def _neighbors(label_of: dict[str, int], class_names: tuple[str, ...]) -> dict[str, int]:
    """For what is no class but resembles one, the label of that."""
    classes = {name.lower(): k for k, name in enumerate(class_names)}
    left_out = {name: _NEIGHBORS.get(name.lower()) for name, label in label_of.items() if label == OTHER_CLASS}
    return {name: classes[other] for name, other in left_out.items() if other in classes}


def _annotation(objects: list[tuple[str, dict]], label_of: dict[str, int], neighbors: Collection[str]) -> Annotation:
    return annotation([annotation_row(label=label_of[n], difficult=n in neighbors, **values) for n, values in objects])
