"""PASCAL VOC: JPEGImages/, Annotations/<image>.xml, ImageSets/Main/; one year, or several in a VOCdevkit."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.data.objects import Annotation, annotation, annotation_row
from mnext_tf.data.sources.annotated import images_by_stem, label_classes, listing_of, read_names
from mnext_tf.data.sources.file_walk import is_file_error
from mnext_tf.data.sources.listing import ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import DataError
from mnext_tf.text import path_text, printable


@dataclass
class Parsed:
    """An annotation file: objects as (class name, values of `annotation_row` without the label), and its size."""

    objects: list[tuple[str, dict]]
    width: int
    height: int


def matches(root: Path) -> bool:
    return bool(_sets(root))


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    """The lists that the benchmark has: trainval and test where the test images of a VOC year are annotated, else
    train and val; without lists all annotated images, from which a validation split is taken.

    Several years are joined. "difficult" objects are kept, and are ignored in training and evaluation.
    """
    skipped: list[tuple[str, str]] = []
    notes: list[str] = []
    sets = _sets(root)
    tested = [folder for folder in sets if _has_test(folder)]
    names: dict[str, list[tuple[Path, Path, str]]] = {}
    for folder in sets:
        for split, stems in _lists(folder, bool(tested), folder in tested, skipped, notes).items():
            names.setdefault(split, []).extend((folder / "JPEGImages", folder / "Annotations", stem) for stem in stems)
    splits, class_names, more = read_splits(root, names, options, skipped)
    seventh = any("2007" in folder.name for folder in tested or sets)
    ignored = sum(len(images_by_stem(folder / "JPEGImages")) for folder in sets) - sum(map(len, names.values()))
    return listing_of(
        root,
        class_names,
        splits,
        "voc07" if seventh else "voc",
        hash_split="validation" not in splits,
        skipped=skipped,
        ignored=max(0, ignored),
        notes=(*notes, *more),
    )


def parse_annotation(data: bytes) -> Parsed:
    """An annotation file's objects. Raises DataError with the reason where it is damaged or has a DOCTYPE.

    Corners are pixels counted from 1, the last included: x_min is moved by one to be the left edge of its pixel.
    """
    try:
        tree = ET.fromstring(data, ET.XMLParser(target=_NoDoctype()))
    except (ET.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding that Python does not know
        raise DataError(f"not a sound XML file: {error}") from error
    if tree.tag != "annotation":
        raise DataError(f"its XML begins with <{printable(tree.tag)[:40]}>, not with <annotation>")
    objects = []
    for element in tree.iter("object"):
        if not (name := (element.findtext("name") or "").strip()):
            raise DataError("an object in it has no name")
        values = [_number(element.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
        box = (values[0] - 1, values[1] - 1, *values[2:])
        flags = {key: _number(element.findtext(key)) > 0 for key in ("difficult", "truncated")}
        objects.append((name, {"box": box, "difficult": flags["difficult"], "truncation": float(flags["truncated"])}))
    width, height = (_number(tree.findtext(f"size/{key}")) for key in ("width", "height"))
    return Parsed(objects, *(int(side) if 0 < side < 1e6 else 0 for side in (width, height)))


class _NoDoctype(ET.TreeBuilder):
    """Entities, which may expand without end, need a DOCTYPE; annotations do not."""

    def doctype(self, name, public, system):
        raise DataError("it has a DOCTYPE, which may define entities; annotations need none, so it is not read")


def _number(text: str | None) -> float:
    """A number; NaN where there is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _sets(root: Path) -> list[Path]:
    """`root`, or the years below it, or below a VOCdevkit in it."""

    def is_set(folder: Path) -> bool:
        return (folder / "JPEGImages").is_dir() and (folder / "Annotations").is_dir()

    if is_set(root):
        return [root]
    for devkit in (root, root / "VOCdevkit"):
        if found := sorted(p for p in devkit.glob("VOC*") if re.fullmatch(r"VOC\d{4}", p.name) and is_set(p)):
            return found
    return []


def _list(folder: Path, name: str) -> Path:
    return folder / "ImageSets" / "Main" / f"{name}.txt"


def _has_test(folder: Path) -> bool:
    """Whether this is a year of VOC whose trainval and test images are there and annotated."""
    if not (re.fullmatch(r"VOC\d{4}", folder.resolve().name) and _list(folder, "trainval").is_file()):
        return False
    test = _list(folder, "test")
    first = read_names(test, [])[0] if test.is_file() else ""
    return bool(first) and (folder / "Annotations" / f"{first}.xml").is_file()


def _lists(folder: Path, any_tested: bool, tested: bool, skipped, notes: list[str]) -> dict[str, list[str]]:
    """Names of the images of each split."""
    if tested or any_tested:
        wanted = {"train": "trainval", **({"validation": "test"} if tested else {})}
    else:
        wanted = {"train": "train", "validation": "val"}
        if not _list(folder, "val").is_file() and _list(folder, "test").is_file():
            wanted["validation"] = "test"
    paths = {split: _list(folder, name) for split, name in wanted.items()}
    if all(path.is_file() for path in paths.values()):
        notes.append(f"{path_text(folder.name)}: " + ", ".join(f"{s} is {p.name}" for s, p in paths.items()) + ".")
        return {split: read_names(path, skipped) for split, path in paths.items()}
    if any(path.is_file() for path in paths.values()):
        missing = next(path for path in paths.values() if not path.is_file())
        raise DataError(f"{missing} does not exist. Write it: one image name a line, without extension.")
    annotated = sorted(p.stem for p in (folder / "Annotations").glob("*.xml"))
    lacking = sorted(set(images_by_stem(folder / "JPEGImages")) - set(annotated))
    skipped += [(path_text(f"JPEGImages/{stem}"), "it has no annotation") for stem in lacking]
    return {"train": annotated}


def read_splits(
    root: Path, names: dict[str, list[tuple[Path, Path, str]]], options: ListingOptions, skipped
) -> tuple[dict[str, list[ListedImage]], tuple[str, ...], tuple[str, ...]]:
    """(images by split, class names, notes); `names` are, for each split, what `_parse_all` takes."""
    parsed = {split: _parse_all(root, own, skipped) for split, own in names.items()}
    found = sorted({name for own in parsed.values() for _, p in own for name, _ in p.objects})
    label_of, class_names, notes = label_classes(root, found, options)
    splits = {
        split: [ListedImage(n, None, None, _annotation(p, label_of)) for n, p in own] for split, own in parsed.items()
    }
    return splits, class_names, notes


def _parse_all(root: Path, names: list[tuple[Path, Path, str]], skipped) -> list[tuple[str, Parsed]]:
    """(path of the image below `root`, its annotation) of (folder of images, folder of annotations, name).

    Images without an annotation, and the reverse, go to `skipped`.
    """
    from tqdm import tqdm

    images = {folder: images_by_stem(folder) for folder in {folder for folder, _, _ in names}}
    found = []
    for folder, beside, stem in tqdm(names, desc="reading annotations", unit="file", disable=None, leave=False):
        path = beside / f"{stem}.xml"
        shown = path_text(path.relative_to(root))
        try:
            parsed = parse_annotation(path.read_bytes())
        except (DataError, OSError) as error:
            if isinstance(error, OSError) and not is_file_error(error):
                raise
            skipped.append((shown, error.strerror if isinstance(error, OSError) else str(error)))
            continue
        if stem not in images[folder]:
            skipped.append((shown, f"there is no image {path_text(stem)} in {path_text(folder.name)}"))
            continue
        found.append(((folder / images[folder][stem]).relative_to(root).as_posix(), parsed))
    return found


def _annotation(parsed: Parsed, label_of: dict[str, int]) -> Annotation:
    rows = [annotation_row(label=label_of[name], **values) for name, values in parsed.objects]
    return annotation(rows, parsed.width, parsed.height)
