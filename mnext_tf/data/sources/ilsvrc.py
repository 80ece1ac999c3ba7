"""ImageNet (ILSVRC2012) as its authors distribute it: an archive of archives, and validation images without folders."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mnext_tf.data import class_matching, imagenet
from mnext_tf.data.sources.class_labels import checked_offset, read_lines
from mnext_tf.data.sources.file_walk import is_image_name
from mnext_tf.data.sources.listing import ImageListing, ListedImage, ListingOptions, TarMember
from mnext_tf.errors import DataError
from mnext_tf.text import path_text, printable

ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "validation": "ILSVRC2012_img_val.tar"}
_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d+)\.", re.ASCII)
_LEADING_ID = re.compile(r"(n\d{8})[_.]", re.ASCII)


def matches(root: Path) -> bool:
    return any((root / name).is_file() for name in ARCHIVES.values())


def is_flat(folder: Path) -> bool:
    """Whether images are in `folder` itself."""
    with os.scandir(folder) as entries:
        return any(is_image_name(entry.name) for entry in entries)


def contradictions(images: Iterable[ListedImage]) -> tuple[tuple[str, str], ...]:
    """Images in a folder named by a WordNet id whose own name begins with another one."""
    wrong = []
    for image in images:
        *_, folder, file = ("", *image.name.split("/"))
        if class_matching.WORDNET_ID.fullmatch(folder) and (own := _LEADING_ID.match(file)) and own[1] != folder:
            wrong.append((path_text(image.name), f"named {own[1]}, but in the folder {folder}"))
    return tuple(wrong)


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    """The images inside the archives, which are not unpacked: one pass over their headers finds them."""
    archives = {split: root / name for split, name in ARCHIVES.items() if (root / name).is_file()}
    class_names, wanted = options.class_names, options.wanted
    if missing := [ARCHIVES[s] for s in wanted if s not in archives]:
        held = ", ".join(path.name for path in archives.values())
        raise DataError(f"{root} has {held} but not {missing[0]}. Put it there too.")
    skipped: list[tuple[str, str]] = []
    splits, ids, named = {}, None, tuple(class_names or ())
    if "train" in archives:
        train = [(f"train/{i}/{name}", i, member) for i, name, member in _train_members(archives["train"])]
        own = sorted({wordnet_id for _, wordnet_id, _ in train})
        if not own:
            raise DataError(f"{archives['train']} holds no images in archives named by WordNet ids.")
        labels = range(len(own)) if class_names is None else class_matching.match_classes(own, class_names)
        ids = dict(zip(own, labels, strict=True))
        named = named or class_matching.imagenet_names_or_own(own)
        if "train" in wanted:
            splits["train"] = [ListedImage(name, ids[i], member) for name, i, member in sorted(train)]
    mislabelled = contradictions(splits.get("train", ()))
    if "validation" in wanted:
        with _open(archives["validation"]) as tar:
            images = sorted((f"val/{name}", place) for name, place in _images(tar, archives["validation"], 0))
        splits["validation"], named = label_validation(images, ids, named, options, skipped)
    return ImageListing(root, named, splits, skipped=tuple(skipped), mislabelled=mislabelled)


def label_validation(
    images: list[tuple[str, TarMember | None]],
    ids: dict[str, int] | None,
    named: tuple[str, ...],
    options: ListingOptions,
    skipped: list[tuple[str, str]],
) -> tuple[list[ListedImage], tuple[str, ...]]:
    """Validation images with their labels, and the class names; images without a known class go to `skipped`.

    ids: WordNet id -> label, from the training split; None without one: then the classes are the
    network's, or ImageNet's.
    """
    class_names, val_labels = options.class_names, options.val_labels
    class_of = _imagenets_own if val_labels is None else _read_val_labels(Path(val_labels), options.label_offset)
    found = [(name, member, class_of(name)) for name, member in images]
    if ids is None:
        if class_names is None:
            ids, named = {w: i for i, w in enumerate(imagenet.wordnet_ids())}, imagenet.class_names()
        else:
            own = sorted({w for _, _, w in found if w})
            ids, named = dict(zip(own, class_matching.match_classes(own, class_names), strict=True)), tuple(class_names)
    where = val_labels or "ImageNet's own list"
    listed = []
    for name, member, wordnet_id in found:
        if wordnet_id in ids:
            listed.append(ListedImage(name, ids[wordnet_id], member))
        else:
            reason = f"{wordnet_id} is none of the classes" if wordnet_id else f"no label in {where}"
            skipped.append((path_text(name), reason))
    if not listed:
        raise DataError(
            f"None of {len(found)} validation images without class folders has a label: {skipped[-1][0]}: "
            f"{skipped[-1][1]}. ImageNet's own names, ILSVRC2012_val_00000001.JPEG and so on, are known; for others "
            "give val_labels: WordNet ids, one a line, or lines `name label`."
        )
    return listed, named


def _imagenets_own(name: str) -> str | None:
    label = imagenet.validation_label(name.rsplit("/", 1)[-1])
    return None if label is None else imagenet.wordnet_ids()[label]


def _read_val_labels(path: Path, label_offset: int | None) -> Callable[[str], str | None]:
    """A function from an image's name to its WordNet id, by what the file `path` says."""
    if not path.is_file():
        raise DataError(f"{path}, the file of validation labels, does not exist.")
    rows = [(number, line.split()) for number, line in read_lines(path) if line.strip()]
    is_id = class_matching.WORDNET_ID.fullmatch
    if rows and all(len(words) == 1 and is_id(words[0]) for _, words in rows):

        def by_number(name: str) -> str | None:
            match = _VALIDATION_NAME.match(name.rsplit("/", 1)[-1])
            return rows[int(match[1]) - 1][1][0] if match and 1 <= int(match[1]) <= len(rows) else None

        return by_number
    if rows and all(len(words) == 1 and words[0].isdecimal() for _, words in rows):
        raise DataError(
            f"{path} holds one number a line, as the ILSVRC2012 development kit's ground truth does. Its numbers "
            "follow another order than the classes; give WordNet ids one a line, or lines `name label`."
        )
    wrong = [n for n, words in rows if len(words) != 2 or not (is_id(words[1]) or words[1].isdecimal())]
    if wrong or not rows:
        raise DataError(
            f"{path}, line {wrong[0] if wrong else 1}, is neither a WordNet id nor `name label`, where the label is a "
            "WordNet id or a whole number."
        )
    numbers = [int(words[1]) for _, words in rows if words[1].isdecimal()]
    offset = checked_offset(path, numbers, label_offset) if numbers else 0
    if numbers and not 0 <= max(numbers) - offset < imagenet.NUM_CLASSES:
        raise DataError(f"{path} has the label {max(numbers)}; ImageNet has {imagenet.NUM_CLASSES} classes.")
    ids = imagenet.wordnet_ids()
    table = {
        words[0].rsplit("/", 1)[-1]: words[1] if is_id(words[1]) else ids[int(words[1]) - offset] for _, words in rows
    }
    return lambda name: table.get(name.rsplit("/", 1)[-1])


def _train_members(archive: Path) -> Iterator[tuple[str, str, TarMember]]:
    """(WordNet id, file name, place) of every image in the archive of archives."""
    from tqdm import tqdm

    size = os.stat(archive).st_size
    bar = tqdm(total=size, desc=f"indexing {archive.name}", unit="B", unit_scale=True, disable=None, leave=False)
    with open(archive, "rb") as file, _open(archive) as tar, bar:
        for member in _members(tar, archive):
            wordnet_id, suffix = os.path.splitext(member.name.rsplit("/", 1)[-1])
            if suffix == ".tar" and class_matching.WORDNET_ID.fullmatch(wordnet_id):
                where = f"{printable(member.name)} in "
                with _open(archive, _FileSlice(file, member.offset_data, member.size), where) as inner:
                    for name, place in _images(inner, archive, member.offset_data):
                        yield wordnet_id, name, place
            bar.update(member.offset_data + member.size - bar.n)


def _open(archive: Path, part: _FileSlice | None = None, inside: str = "") -> tarfile.TarFile:
    try:
        return tarfile.open(archive, "r:", fileobj=part)
    except tarfile.TarError as error:
        raise DataError(
            f"{inside}{archive} is no uncompressed tar archive, or damaged: {error}. Get it again."
        ) from error


def _images(tar: tarfile.TarFile, archive: Path, start: int) -> Iterator[tuple[str, TarMember]]:
    for member in _members(tar, archive):
        name = member.name.rsplit("/", 1)[-1]
        if member.isreg() and is_image_name(name):
            yield name, TarMember(str(archive), start + member.offset_data, member.size)


def _members(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    count = 0
    try:
        for member in tar:
            count += 1
            yield member
            tar.members.clear()  # it keeps every header otherwise: gigabytes for ImageNet
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{archive} is cut short or damaged after {count} members: {error}. Get it again.") from error


class _FileSlice:
    """A window of a file, as far as tarfile reads one: an archive inside an archive."""

    def __init__(self, file, start: int, size: int):
        self.file, self.start, self.size, self.position = file, start, size, 0

    def tell(self) -> int:
        return self.position

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = base + position
        return self.position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.size - self.position)
        size = left if size < 0 else min(size, left)
        self.file.seek(self.start + self.position)
        data = self.file.read(size)
        self.position += len(data)
        return data
