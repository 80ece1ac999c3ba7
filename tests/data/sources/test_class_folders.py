import errno
import os
import subprocess
import sys

import pytest

from mnext_tf.data import imagenet
from mnext_tf.data.class_matching import match_classes
from mnext_tf.data.prepare import prepare
from mnext_tf.data.shard_plan import measure
from mnext_tf.data.sources.layouts import list_image_files, list_images
from mnext_tf.data.sources.listing import ListedImage, split_by_hash
from mnext_tf.errors import ConfigError, DataError

IDS = ("n01440764", "n01443537", "n01484850")  # ImageNet's classes 0, 1, 2


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def labels(listing, split="train"):
    return {image.name: image.label for image in listing.splits[split]}


def test_import_is_light():
    code = "import sys, mnext_tf.data.sources.layouts; sys.exit(bool({'tensorflow', 'PIL'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_tree_with_deeper_folders(tmp_path):
    root = touch(tmp_path, "train/cat/1.jpg", "train/cat/old/deep/2.JPG", "train/dog/3.png", "validation/dog/ä b.jpeg")
    touch(root, "train/cat/notes.txt", "train/cat/.hidden.jpg")
    listing = list_images(root)
    assert labels(listing) == {"train/cat/1.jpg": 0, "train/cat/old/deep/2.JPG": 0, "train/dog/3.png": 1}
    assert labels(listing, "validation") == {"validation/dog/ä b.jpeg": 1}
    assert (listing.ignored, listing.hash_split, listing.labelled) == (2, False, True)
    assert [image.name for image in list_images(root, split="validation").images] == ["validation/dog/ä b.jpeg"]
    assert len(list_image_files(root)) == 4


def test_links_in_circles_pipes_and_broken_links(tmp_path):
    root = touch(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg")
    (root / "train/cat/up").symlink_to(root / "train")
    (root / "train/cat/self").symlink_to("self")
    (root / "train/cat/me.jpg").symlink_to("me.jpg")
    (root / "train/loop").symlink_to(root)
    (root / "train/dog/gone.jpg").symlink_to("nowhere.jpg")
    (root / "train/dog/friend.jpg").symlink_to(root / "train/cat/1.jpg")
    os.mkfifo(root / "train/dog/pipe.jpg")
    listing = list_images(root)
    assert list(labels(listing)) == ["train/cat/1.jpg", "train/dog/2.jpg", "train/dog/friend.jpg"]
    reasons = dict(listing.skipped)
    assert set(reasons) == {
        "loop", "train/cat/up", "train/cat/self", "train/cat/me.jpg", "train/dog/gone.jpg", "train/dog/pipe.jpg"
    }  # fmt: skip
    assert reasons["train/dog/pipe.jpg"] == "not a regular file"
    assert reasons["train/dog/gone.jpg"] == "No such file or directory"
    assert "link back" in reasons["loop"]


def test_classes_without_splits(tmp_path):
    root = touch(
        tmp_path, *(f"{c}/{i}.jpg" for c in ("a", "b") for i in range(200)), "lonely/x.jpg", "empty/readme.txt"
    )
    listing = list_images(root, validation_share=0.2)
    train, validation = (set(labels(listing, s)) for s in ("train", "validation"))
    assert len(train) + len(validation) == 401
    assert 50 < len(validation) < 110
    assert "lonely/x.jpg" in train
    assert listing.class_names == ("a", "b", "lonely")
    assert listing.hash_split
    assert "empty" in listing.notes[0]
    touch(root, *(f"a/new{i}.jpg" for i in range(100)))
    assert {n for n in labels(list_images(root, validation_share=0.2), "validation") if "new" not in n} == validation


def test_carving_leaves_every_class_something():
    images = [ListedImage(f"{c}/{i}", c) for c in range(50) for i in range(2)]
    for share in (0.001, 0.9):
        splits = split_by_hash(images, share)
        assert {image.label for image in splits["train"]} == set(range(50))
        assert splits["validation"]
    singles = split_by_hash([ListedImage(str(c), c) for c in range(500)], 0.1)
    assert 20 < len(singles["validation"]) < 80
    assert len(split_by_hash([ListedImage("a", None), ListedImage("b", None)], 0.001)["validation"]) == 1


def test_photographs_without_labels(tmp_path):
    listing = list_images(touch(tmp_path, *(f"{i}.jpg" for i in range(40)), "notes.txt"))
    assert (listing.labelled, listing.class_names, listing.ignored) == (False, ("unlabelled",), 1)
    assert len(listing.images) == 40
    assert {image.label for image in listing.images} == {None}


def test_labels_come_in_the_networks_order(tmp_path):
    root = touch(tmp_path, "train/Sun_flower/1.jpg", "val/daisy/2.jpg")
    names = ["daisy", "rose", "sun flower"]
    listing = list_images(root, class_names=names)
    assert listing.class_names == tuple(names)
    assert labels(listing) == {"train/Sun_flower/1.jpg": 2}
    assert labels(listing, "validation") == {"val/daisy/2.jpg": 0}
    touch(root, "train/dasy/1.jpg")
    with pytest.raises(DataError, match=r"1 of the 3 classes found are none of the network's 3: dasy.*mean 'daisy'"):
        list_images(root, class_names=names)


def test_imagenet_names_ids_and_synonyms(tmp_path):
    root = touch(tmp_path, "n01484850/1.jpg", "Tinca tinca/2.jpg", "goldfish/3.jpg")
    listing = list_images(root, class_names=imagenet.class_names())
    assert {image.name: image.label for image in listing.images} == {
        "n01484850/1.jpg": 2, "Tinca tinca/2.jpg": 0, "goldfish/3.jpg": 1
    }  # fmt: skip


def test_imagenet_folders_with_flat_validation(tmp_path):
    own = imagenet.validation_label("ILSVRC2012_val_00000001.JPEG")
    ids = sorted({IDS[0], imagenet.wordnet_ids()[own]})
    root = touch(tmp_path, *(f"train/{i}/{i}_1.JPEG" for i in ids), f"train/{ids[0]}/{IDS[1]}_9.JPEG")
    touch(root, "val/ILSVRC2012_val_00000001.JPEG", "val/ILSVRC2012_val_00000002.JPEG", "val/other.JPEG")
    listing = list_images(root)
    assert listing.class_names == tuple(ids)
    assert labels(listing, "validation") == {"val/ILSVRC2012_val_00000001.JPEG": ids.index(imagenet.wordnet_ids()[own])}
    reasons = dict(listing.skipped)
    assert "none of the classes" in reasons["val/ILSVRC2012_val_00000002.JPEG"]
    assert "no label in ImageNet's own list" in reasons["val/other.JPEG"]
    assert listing.mislabelled == ((f"train/{ids[0]}/{IDS[1]}_9.JPEG", f"named {IDS[1]}, but in the folder {ids[0]}"),)
    full = list_images(root, class_names=imagenet.class_names())
    assert labels(full, "validation") == {"val/ILSVRC2012_val_00000001.JPEG": own}


def test_other_errors(tmp_path):
    with pytest.raises(ConfigError, match=r"validation_share must be between 0\.001 and 0\.9; received 1"):
        list_images(tmp_path, validation_share=1)
    with pytest.raises(ConfigError, match="must be 0 or 1; received 2"):
        list_images(tmp_path, label_offset=2)
    with pytest.raises(ConfigError, match="names its classes"):
        list_images(tmp_path, label_offset=1)
    with pytest.raises(ConfigError, match="val_labels is for ILSVRC2012"):
        list_images(tmp_path, val_labels=tmp_path / "labels")
    touch(tmp_path, "tree/train/a/1.jpg", "tree/train/b/1.jpg", "tree/val/a/1.jpg")
    with pytest.raises(ConfigError, match="without class folders"):
        list_images(tmp_path / "tree", val_labels=tmp_path / "labels")
    with pytest.raises(ConfigError, match="split"):
        list_images(tmp_path, split="val")
    with pytest.raises(DataError, match="does not exist"):
        list_images(tmp_path / "nowhere")
    touch(tmp_path, "few/only/1.jpg")
    with pytest.raises(DataError, match=r"1 class folder \(only\)"):
        list_images(tmp_path / "few")


def test_many_names_are_listed_without_reading_them(tmp_path):
    """10,000 empty files: no error yet, and no stat for each, which would show in millions."""
    for c in range(10):
        folder = tmp_path / f"class{c}"
        folder.mkdir()
        for i in range(1000):
            os.close(os.open(folder / f"{i}.jpg", os.O_CREAT))
    calls = []
    original = os.stat
    try:
        os.stat = lambda *a, **k: calls.append(a) or original(*a, **k)
        listing = list_images(tmp_path)
    finally:
        os.stat = original
    assert len(listing.images) == 10_000
    assert len(calls) < 100


@pytest.mark.parametrize("layout", ["train/a", "a"])
def test_a_folder_that_cannot_be_read_now_is_not_left_out(tmp_path, monkeypatch, layout):
    root = touch(tmp_path, f"{layout}/1.jpg", f"{layout}/deep/2.jpg", f"{layout[:-1]}b/3.jpg")
    if layout != "a":
        touch(root, "val/a/4.jpg")
    scandir = os.scandir

    def failing(path):
        if str(path).endswith("deep"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(DataError, match=f"{layout}/deep: Input/output error"):
        list_images(root)


def test_a_disk_that_fails_while_sizes_are_taken(tmp_path, monkeypatch):
    listing = list_images(touch(tmp_path, *(f"{c}/{i}.jpg" for c in "ab" for i in range(9))))
    stat = os.stat

    def failing(path, **options):
        if str(path).endswith("a/3.jpg"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(DataError, match=r"Reading .*a/3\.jpg failed: Input/output error"):
        measure(listing)


def test_root_with_bytes_that_are_no_utf8(tmp_path, encode):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    for folder in ("train/a", "train/b", "val/a", "val/b"):
        (root / folder).mkdir(parents=True)
        (root / folder / "1.jpg").write_bytes(encode("JPEG"))
    assert prepare(list_images(root), tmp_path / "out")["name"] == "caf\ufffd"


@pytest.mark.parametrize("name", ["__background__", "my own class"])
def test_ids_and_synonyms_beside_a_class_that_is_not_imagenets(name):
    names = [name, "goldfish", "tench"]
    assert match_classes(["n01440764", "Carassius auratus"], names) == [2, 1]
    with pytest.raises(DataError, match="n01484850"):
        match_classes(["n01484850"], names)
