import os

import pytest

from mnext_tf.data import imagenet
from mnext_tf.data.prepare import prepare
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import ConfigError, DataError

IDS = ("n01440764", "n01443537", "n01484850")  # ImageNet's classes 0, 1, 2


def labels(listing, split="train"):
    return {image.name: image.label for image in listing.splits[split]}


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
    assert not listing.hash_split
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
    assert listing.hash_split


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


def test_labels_csv_with_bytes_that_are_no_utf8(tmp_path, encode):
    root = tmp_path / os.fsdecode(b"caf\xe9")
    root.mkdir()
    rows = [b"file,label"]
    for i in range(20):
        (root / f"{i}.jpg").write_bytes(encode("JPEG", seed=i))
        rows.append(b"%d.jpg,%s" % (i, b"th\xe9" if i % 2 else b"th\xe8"))
    (root / "labels.csv").write_bytes(b"\n".join(rows))
    record = prepare(list_images(root), tmp_path / "out")
    assert record["class_names"] == ["th\ufffd", "th\ufffd"]
    assert all(record["class_counts"]["train"])


def write_labels(root, layout, rows):
    if layout == "labels.csv":
        text = "file,class_index\n" + "".join(f"{name},{label}\n" for name, label in rows)
        (root / "labels.csv").write_text(text)
    else:
        list_files(root, *["".join(f"{name} {label}\n" for name, label in rows)] * 2)


WITH_BACKGROUND = ("Background", *imagenet.class_names())


@pytest.mark.parametrize("layout", ["labels.csv", "list files"])
def test_ids_in_file_names_find_their_class_behind_a_background(tmp_path, layout):
    expected = {f"{IDS[0]}_1.JPEG": 1, f"{IDS[2]}_1.JPEG": 3}
    for offset in (0, 1):
        write_labels(tmp_path, layout, [(f"{IDS[0]}_1.JPEG", offset), (f"{IDS[2]}_1.JPEG", 2 + offset)])
        listing = list_images(tmp_path, class_names=WITH_BACKGROUND)
        assert {image.name: image.label for image in listing.images} == expected
    mixed = ("tench", "something", "great white shark")
    listing = list_images(tmp_path, class_names=mixed)
    assert {image.name: image.label for image in listing.images} == {f"{IDS[0]}_1.JPEG": 0, f"{IDS[2]}_1.JPEG": 2}


@pytest.mark.parametrize("layout", ["labels.csv", "list files"])
def test_numbers_alone_do_not_tell_whether_they_count_a_background(tmp_path, layout):
    def found(**given):
        return [image.label for image in list_images(tmp_path, class_names=WITH_BACKGROUND, **given).images][:2]

    for last in (2, 999):
        write_labels(tmp_path, layout, [("a.jpg", 0), ("b.jpg", last)])
        with pytest.raises(DataError, match=r"class 0 is 'Background'.*label_offset=1 if 'tench' has the label 1"):
            found()
        assert sorted(found(label_offset=0)) == [1, last + 1]
        assert sorted(found(label_offset=1)) == [0, last]
    write_labels(tmp_path, layout, [("a.jpg", 1), ("b.jpg", 1000)])
    assert sorted(found()) == [1, 1000]
    with pytest.raises(DataError, match="the label 1000, but the network has 1000 classes after 'Background'"):
        found(label_offset=0)


def test_list_files_with_class_names(tmp_path):
    list_files(tmp_path, "a.jpg dog\nein Bild.png cat\nb.jpg\tsun flower\nno label\nc.jpg -1\n", "v.jpg dog\n")
    listing = list_images(tmp_path)
    assert listing.class_names == ("cat", "dog", "sun flower")
    assert labels(listing) == {"a.jpg": 1, "ein Bild.png": 0, "b.jpg": 2}
    assert labels(listing, "validation") == {"v.jpg": 1}
    assert [name for name, _ in listing.skipped] == ["train_list.txt:4", "train_list.txt:5"]
    network = ["x", "Dog", "Sun_Flower", "cat"]
    assert labels(list_images(tmp_path, class_names=network)) == {"a.jpg": 1, "ein Bild.png": 3, "b.jpg": 2}
    (tmp_path / "labels.txt").write_text("sun flower\ndog\ncat\n")
    assert labels(list_images(tmp_path))["b.jpg"] == 0
    with pytest.raises(ConfigError, match="label_offset is for labels that are numbers"):
        list_images(tmp_path, label_offset=1)


def test_list_files_that_mix_class_names_and_numbers(tmp_path):
    list_files(tmp_path, "a.jpg dog\nb.jpg cat\n")
    with pytest.raises(DataError, match=r"line 1 of train_list\.txt has dog, line 1 of val_list\.txt has 1\. Use one"):
        list_images(tmp_path)
    list_files(tmp_path, "a.jpg dog\nb.jpg cat\n", "v.jpg bird\n")
    with pytest.raises(DataError, match=r"val_list\.txt has classes that .*train_list\.txt lacks: bird"):
        list_images(tmp_path)
