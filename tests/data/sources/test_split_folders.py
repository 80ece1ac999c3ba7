import pytest

from mnext_tf.data import open_dataset
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names(listing):
    return {split: [image.name for image in images] for split, images in listing.splits.items()}


@pytest.mark.parametrize("held_out", ["val", "validation", "valid", "test", "testing"])
@pytest.mark.parametrize("train", ["train", "training"])
def test_names_of_split_folders(tmp_path, train, held_out):
    root = touch(tmp_path, f"{train}/cat/1.jpg", f"{train}/dog/2.jpg", f"{held_out}/dog/3.jpg")
    listing = list_images(root)
    assert listing.class_names == ("cat", "dog")
    assert names(listing) == {
        "train": [f"{train}/cat/1.jpg", f"{train}/dog/2.jpg"],
        "validation": [f"{held_out}/dog/3.jpg"],
    }
    assert not listing.hash_split
    assert listing.notes == ()


def test_validation_wins_over_test(tmp_path):
    root = touch(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "val/dog/3.jpg", "test/dog/4.jpg", "valid/dog/5.jpg")
    listing = list_images(root)
    assert names(listing)["validation"] == ["val/dog/3.jpg"]
    assert listing.class_names == ("cat", "dog")
    assert [note.rsplit("/", 1)[1] for note in listing.notes] == [
        "valid is not used: val holds the validation images.", "test is not used: val holds the validation images."
    ]  # fmt: skip


def test_classes_called_valid_and_test_are_classes(tmp_path):
    listing = list_images(touch(tmp_path, "valid/1.jpg", "invalid/2.jpg", "test/3.jpg", "test/4.jpg"))
    assert listing.class_names == ("invalid", "test", "valid")
    assert listing.hash_split


def test_test_images_alone(tmp_path):
    root = touch(tmp_path, "test/cat/1.jpg", "test/dog/2.jpg")
    assert names(list_images(root, split="validation")) == {"validation": ["test/cat/1.jpg", "test/dog/2.jpg"]}
    with pytest.raises(DataError, match="no train or training folder; found test/"):
        list_images(root)


def test_train_and_test_are_opened(tmp_path, photographs):
    (photographs / "val").rename(photographs / "test")
    assert open_dataset(photographs, tmp_path / "cache").splits == {"train": 6, "validation": 2}
