"""Class names as data writes them, found among those of a network."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Sequence

from mnext_tf.data import imagenet
from mnext_tf.errors import DataError
from mnext_tf.text import printable

WORDNET_ID = re.compile(r"n\d{8}")
_BACKGROUND = {"background", "dummy", "__background__"}
_SHOWN = 5
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")  # all line breaks; a tab is none


def check_class_names(names: Sequence[str], where) -> None:
    """Raises DataError for a class name that a file of one name a line, such as labels.txt, cannot hold."""
    if unfit := next((name for name in names if _CONTROL.search(name)), None):
        raise DataError(
            f"{printable(where)} has the class name {unfit!r}, which contains a line break or another control "
            "character. Rename the folder or class: files of class names have one name a line."
        )


def match_classes(found: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """The index in `class_names` of every name in `found`.

    Names are compared as `match_some` does. Raises DataError naming those that are none of the classes.
    """
    labels = match_some(found, class_names)
    if unknown := [name for name, label in zip(found, labels, strict=True) if label is None]:
        near = difflib.get_close_matches(unknown[0], class_names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"{len(unknown)} of the {len(found)} classes found are none of the network's {len(class_names)}: "
            f"{shown_names(unknown)}. The network's begin with {shown_names(class_names)}.{hint}"
        )
    return labels


def match_some(found: Sequence[str], class_names: Sequence[str]) -> list[int | None]:
    """The index in `class_names` of every name in `found`, None for those that are none of them.

    Names are compared as they are, then without regard to case, "_" and "-". WordNet ids and WordNet's
    synonyms are taken for those of `class_names` that are ImageNet's.
    """
    exact = {name: i for i, name in enumerate(class_names)}
    loose = _unambiguous((_loose(name), i) for i, name in enumerate(class_names))
    as_imagenet = ((imagenet_index(name), i) for i, name in enumerate(class_names))
    by_imagenet = _unambiguous((label, i) for label, i in as_imagenet if label is not None)

    def index(name: str) -> int | None:
        for known in (exact.get(name), loose.get(_loose(name)), by_imagenet.get(imagenet_index(name))):
            if known is not None:
                return known
        return None

    return [index(name) for name in found]


def shown_names(names: Sequence[str]) -> str:
    """The first names, for a message."""
    return ", ".join(map(printable, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")


def has_background(class_names: Sequence[str] | None) -> bool:
    """Whether a network's class 0 stands for none of its classes, as in networks of 1,001 classes."""
    return bool(class_names) and class_names[0].strip().casefold() in _BACKGROUND


def imagenet_index(name: str) -> int | None:
    """ImageNet's class of a WordNet id, a class name or a synonym that only one class has; else None."""
    return _imagenet_names().get(_loose(name))


def imagenet_names_or_own(names: Sequence[str]) -> tuple[str, ...]:
    """ImageNet's class names where `names` are its 1,000 WordNet ids in order; else `names`."""
    return imagenet.class_names() if tuple(names) == imagenet.wordnet_ids() else tuple(names)


def synsets(class_names: Sequence[str]) -> tuple[str, ...]:
    """What TF-slim's image/class/synset holds: the WordNet ids of ImageNet's classes, else the names."""
    return imagenet.wordnet_ids() if tuple(class_names) == imagenet.class_names() else tuple(class_names)


@functools.cache
def _imagenet_names() -> dict[str, int]:
    labels = range(imagenet.NUM_CLASSES)
    words = _unambiguous((_loose(word), i) for i in labels for word in imagenet.synonyms(i))
    lists = {_loose(", ".join(imagenet.synonyms(i))): i for i in labels}
    names = {_loose(name): i for i, name in enumerate(imagenet.class_names())}
    ids = {wordnet_id: i for i, wordnet_id in enumerate(imagenet.wordnet_ids())}
    return {**words, **lists, **names, **ids}


def _unambiguous(pairs) -> dict:
    held: dict = {}
    for key, value in pairs:
        held[key] = value if held.get(key, value) == value else None
    return {key: value for key, value in held.items() if value is not None}


@functools.lru_cache(1 << 16)
def _loose(name: str) -> str:
    return " ".join(re.sub(r"[_\-\s]+", " ", name).casefold().split())
