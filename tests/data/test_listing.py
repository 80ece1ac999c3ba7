import os
import subprocess
import sys
import tarfile
from io import BytesIO

import pytest

from mnext_tf.data import imagenet
from mnext_tf.data.listing import ListedImage, carve, list_images, list_photographs
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
    code = "import sys, mnext_tf.data.listing; sys.exit(any(m in sys.modules for m in ('tensorflow', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_tree_with_deeper_folders(tmp_path):
    root = touch(tmp_path, "train/cat/1.jpg", "train/cat/old/deep/2.JPG", "train/dog/3.png", "validation/dog/ä b.jpeg")
    touch(root, "train/cat/notes.txt", "train/cat/.hidden.jpg")
    listing = list_images(root)
    assert labels(listing) == {"train/cat/1.jpg": 0, "train/cat/old/deep/2.JPG": 0, "train/dog/3.png": 1}
    assert labels(listing, "validation") == {"validation/dog/ä b.jpeg": 1}
    assert (listing.ignored, listing.carved, listing.labelled) == (2, False, True)
    assert [image.name for image in list_images(root, split="validation").images] == ["validation/dog/ä b.jpeg"]
    assert len(list_photographs(root)) == 4


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
    assert listing.carved
    assert "empty" in listing.notes[0]
    touch(root, *(f"a/new{i}.jpg" for i in range(100)))
    assert {n for n in labels(list_images(root, validation_share=0.2), "validation") if "new" not in n} == validation


def test_carving_leaves_every_class_something():
    images = [ListedImage(f"{c}/{i}", c) for c in range(50) for i in range(2)]
    for share in (0.001, 0.9):
        splits = carve(images, share)
        assert {image.label for image in splits["train"]} == set(range(50))
        assert splits["validation"]
    singles = carve([ListedImage(str(c), c) for c in range(500)], 0.1)
    assert 20 < len(singles["validation"]) < 80
    assert len(carve([ListedImage("a", None), ListedImage("b", None)], 0.001)["validation"]) == 1


def test_photographs_without_labels(tmp_path):
    listing = list_images(touch(tmp_path, *(f"{i}.jpg" for i in range(40)), "notes.txt"))
    assert (listing.labelled, listing.class_names, listing.ignored) == (False, ("unlabelled",), 1)
    assert len(listing.images) == 40
    assert {image.label for image in listing.images} == {None}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_list_files(tmp_path, encoding):
    lines = ["bilder/ein Bild é.jpg 0", "b.jpg\t2  ", "", "  c d.jpg   1", "no label", "e.jpg -1", "f.jpg 1.5"]
    (tmp_path / "train_list.txt").write_bytes("\r\n".join(lines).encode(encoding))
    (tmp_path / "val_list.txt").write_text("v.jpg 1\n")
    (tmp_path / "label_list.txt").write_text("1 zwei\n0 eins\n2 drei\n")
    listing = list_images(tmp_path)
    assert labels(listing) == {"bilder/ein Bild é.jpg": 0, "b.jpg": 2, "c d.jpg": 1}
    assert labels(listing, "validation") == {"v.jpg": 1}
    assert listing.class_names == ("eins", "zwei", "drei")
    assert [name for name, _ in listing.skipped] == ["train_list.txt:5", "train_list.txt:6", "train_list.txt:7"]
    assert not listing.carved
    assert labels(list_images(tmp_path, class_names=["drei", "Eins", "x", "zwei"])) == {
        "bilder/ein Bild é.jpg": 1, "b.jpg": 0, "c d.jpg": 3
    }  # fmt: skip


def test_list_file_with_bytes_that_are_no_utf8(tmp_path):
    name = b"caf\xe9.jpg"
    (tmp_path / "train.txt").write_bytes(name + b" 0\n")
    (tmp_path / "val.txt").write_text("v.jpg 1\n")
    listing = list_images(tmp_path)
    assert os.fsencode(listing.splits["train"][0].name) == name
    assert listing.class_names == ("0", "1")
    assert "called by their numbers" in listing.notes[0]


def list_files(root, train, val="v.jpg 1\n"):
    (root / "train_list.txt").write_text(train)
    (root / "val_list.txt").write_text(val)


def test_list_labels_from_one_are_refused(tmp_path):
    list_files(tmp_path, "a.jpg 1\nb.jpg 3\n")
    with pytest.raises(DataError, match=r"no line has the label 0; they run from 1 to 3.*label_offset=1"):
        list_images(tmp_path)
    assert labels(list_images(tmp_path, label_offset=1)) == {"a.jpg": 0, "b.jpg": 2}
    assert labels(list_images(tmp_path, label_offset=0)) == {"a.jpg": 1, "b.jpg": 3}
    list_files(tmp_path, "a.jpg 0\nb.jpg 3\n")
    with pytest.raises(DataError, match="label_offset=1 was given, but a line has the label 0"):
        list_images(tmp_path, label_offset=1)


def test_list_file_errors(tmp_path):
    list_files(tmp_path, "# a list\n\nonly names.jpg\n")
    with pytest.raises(DataError, match=r"train_list\.txt has no line .*line 1 is the first"):
        list_images(tmp_path)
    list_files(tmp_path, "")
    with pytest.raises(DataError, match="it is empty"):
        list_images(tmp_path)
    list_files(tmp_path, "a.jpg 0\nb.jpg 7\n")
    with pytest.raises(DataError, match="at least 8 classes, but the network has 3"):
        list_images(tmp_path, class_names=["a", "b", "c"])
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match=r"the class 7 .*labels.txt names 3 classes"):
        list_images(tmp_path)
    (tmp_path / "labels.txt").write_text("a\nb\na\n")
    with pytest.raises(DataError, match="'a' twice"):
        list_images(tmp_path)
    (tmp_path / "val_list.txt").unlink()
    with pytest.raises(DataError, match=r"has train_list.txt but no val_list.txt or val.txt"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("file,class_index\na b.jpg,0\nc.jpg,2\n", ("0", "1", "2"), {"a b.jpg": 0, "c.jpg": 2}),
        ("filename,class\na.jpg,dog\nb.jpg,cat\n", ("cat", "dog"), {"a.jpg": 1, "b.jpg": 0}),
        ("\ufefflabel,file\r\ndog,a.jpg\r\ncat,b.jpg\r\n", ("cat", "dog"), {"a.jpg": 1, "b.jpg": 0}),
        (
            f"file,class_index\n{IDS[0]}_x.JPEG,0\n{IDS[2]}.JPEG,2\n",
            imagenet.class_names(),
            {f"{IDS[0]}_x.JPEG": 0, f"{IDS[2]}.JPEG": 2},
        ),
    ],
)
def test_labels_csv(tmp_path, text, names, expected):
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    listing = list_images(tmp_path)
    assert listing.class_names == names
    assert {image.name: image.label for image in listing.images} == expected
    assert listing.carved


def test_labels_csv_errors(tmp_path):
    (tmp_path / "labels.csv").write_text("name,kind\na.jpg,0\n")
    with pytest.raises(DataError, match=r"begins with name,kind; its first line is `file,class_index`"):
        list_images(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\na.jpg,1\nb.jpg,2\n")
    with pytest.raises(DataError, match="no line has the label 0"):
        list_images(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\n,\n")
    with pytest.raises(DataError, match="no line has a file and a label"):
        list_images(tmp_path)


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


def add(tar, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, BytesIO(data))


@pytest.fixture
def archives(tmp_path):
    root = tmp_path / "ilsvrc"
    root.mkdir()
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w") as tar:
        for c, wordnet_id in enumerate(IDS):
            inner = BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as part:
                for i in range(2):
                    add(part, f"{wordnet_id}_{i}.JPEG", f"train {c} {i}".encode() * 100)
            add(tar, f"{wordnet_id}.tar", inner.getvalue())
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as tar:
        for i in (2, 1):
            add(tar, f"ILSVRC2012_val_000{i}.JPEG", f"val {i}".encode())
    (tmp_path / "labels").write_text(f"{IDS[1]}\n{IDS[2]}\n")
    return root


def test_archives_are_read_without_unpacking(archives):
    listing = list_images(archives, val_labels=archives.parent / "labels")
    assert listing.class_names == IDS
    assert [(image.name, image.label) for image in listing.splits["train"][:3]] == [
        (f"train/{IDS[0]}/{IDS[0]}_0.JPEG", 0), (f"train/{IDS[0]}/{IDS[0]}_1.JPEG", 0),
        (f"train/{IDS[1]}/{IDS[1]}_0.JPEG", 1),
    ]  # fmt: skip
    image = listing.splits["train"][4]
    with open(image.member.archive, "rb") as f:
        f.seek(image.member.offset)
        assert f.read(image.member.size) == b"train 2 0" * 100
    assert [image.label for image in listing.splits["validation"]] == [1, 2]
    assert listing.path(image) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"ILSVRC2012_val_0001.JPEG {IDS[2]}\nILSVRC2012_val_0002.JPEG {IDS[0]}\n", [2, 0]),
        ("ILSVRC2012_val_0001.JPEG 1\nILSVRC2012_val_0002.JPEG 0\n", [1, 0]),
        ("ILSVRC2012_val_0002.JPEG 0\n", [0]),
    ],
)
def test_validation_labels_from_a_file(archives, text, expected):
    (archives.parent / "labels").write_text(text)
    listing = list_images(archives, val_labels=archives.parent / "labels")
    assert [image.label for image in listing.splits["validation"]] == expected
    assert len(listing.skipped) == 2 - len(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("490\n361\n", "another order than the classes"),
        ("a b c\n", "line 1, is neither a WordNet id nor"),
        ("ILSVRC2012_val_0001.JPEG 1\n", "no line has the label 0"),
        ("ILSVRC2012_val_0001.JPEG 0\nILSVRC2012_val_0002.JPEG 1000\n", "the label 1000; ImageNet has 1000 classes"),
        ("x.JPEG 0\n", r"None of 2 validation images .*no label in"),
    ],
)
def test_validation_label_errors(archives, text, message):
    (archives.parent / "labels").write_text(text)
    with pytest.raises(DataError, match=message):
        list_images(archives, val_labels=archives.parent / "labels")


def test_archive_errors(archives):
    train = archives / "ILSVRC2012_img_train.tar"
    data = train.read_bytes()
    train.write_bytes(data[: 12 * 1024])
    with pytest.raises(DataError, match=r"img_train\.tar.*(cut short|damaged)"):
        list_images(archives, val_labels=archives.parent / "labels")
    train.write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(DataError, match="no uncompressed tar archive"):
        list_images(archives, val_labels=archives.parent / "labels")
    train.unlink()
    with pytest.raises(DataError, match=r"has ILSVRC2012_img_val\.tar but not ILSVRC2012_img_train\.tar"):
        list_images(archives, val_labels=archives.parent / "labels")
    assert len(list_images(archives, split="validation", val_labels=archives.parent / "labels").images) == 2


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
