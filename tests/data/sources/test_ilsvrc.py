import tarfile
from io import BytesIO

import pytest

from mnext_tf.data.image_files import read_listed
from mnext_tf.data.prepare import prepare
from mnext_tf.data.shard_plan import measure
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError

IDS = ("n01440764", "n01443537", "n01484850")  # ImageNet's classes 0, 1, 2


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


def test_an_archive_that_changes_or_goes_is_no_damaged_image(archives, tmp_path):
    listing = list_images(archives, val_labels=archives.parent / "labels")
    measured = measure(listing)
    train = archives / "ILSVRC2012_img_train.tar"
    train.write_bytes(train.read_bytes()[:2000])
    with pytest.raises(OSError, match="shorter than when it was listed"):
        read_listed(listing, listing.splits["train"][-1])
    train.unlink()
    with pytest.raises(DataError, match=r"Reading .*img_train\.tar failed: No such file.*start the same command"):
        prepare(listing, tmp_path / "out", measured=measured)
