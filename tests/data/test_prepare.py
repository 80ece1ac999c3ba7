import json
import os

import pytest

from mnext_tf.data import open_dataset, tfrecord
from mnext_tf.data.prepare import prepare
from mnext_tf.data.shard_plan import measure, plan
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError

SMALL = 4_000  # bytes: some images a shard


def test_report(undisturbed, many):
    record, written = undisturbed
    assert record == json.loads(written["dataset.json"])
    assert record["splits"] == {"train": 59, "validation": 12}
    assert record["class_names"] == ["Zürich see", "n01440764", "n01443537"]
    assert record["class_counts"] == {"train": [20, 19, 20], "validation": [4, 4, 4]}
    assert record["remarks"] == {
        "converted: CMYK JPEG": 1, "converted: rotated by EXIF": 1, "kept: PNG named .jpeg": 1
    }  # fmt: skip
    assert [name for name, _ in record["skipped"]] == [
        f"train/n01440764/{name}" for name in ("broken.JPEG", "n01440764_3.JPEG", "n01440764_4.JPEG")
    ]
    assert [name for name, _ in record["mislabelled"]] == ["train/n01440764/n01443537_99.JPEG"]
    assert len([name for name in written if name.startswith("train-")]) > 5
    assert set(written) == {*record["shards"], "dataset.json"}
    digests = ("snapshot", "source", "fingerprint", "samples")
    told = json.dumps({key: value for key, value in record.items() if key not in digests})
    assert not any(word in told for word in ("202", "0x", str(many)))


def test_shards_hold_the_images_in_mixed_order(undisturbed, tmp_path):
    import tensorflow as tf

    record, written = undisturbed
    names = []
    for shard in sorted(n for n in written if n.startswith("train-")):
        (tmp_path / shard).write_bytes(written[shard])
        for serialized in tfrecord.read_records(tmp_path / shard):
            feature = tf.train.Example.FromString(serialized).features.feature
            names.append(tfrecord.file_name(feature))
            assert feature["image/class/text"].bytes_list.value[0].decode() == names[-1].split("/")[1]
    assert len(set(names)) == len(names) == record["splits"]["train"]
    classes = [name.split("/")[1] for name in names]
    assert len(set(classes[:10])) == 3
    assert any("Zürich see" in name for name in names)


def test_workers_and_machine_do_not_matter(contents, many, undisturbed, tmp_path):
    for workers in (1, 5):
        prepare(list_images(many), tmp_path / str(workers), shard_bytes=SMALL, workers=workers)
        assert contents(tmp_path / str(workers)) == undisturbed[1]


def test_imagenet_synsets_are_stored(tmp_path, encode, log_lines):
    from mnext_tf.data import imagenet

    for folder in ("train/goldfish", "val/goldfish"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        (tmp_path / "photos" / folder / "1.jpg").write_bytes(encode("JPEG"))
    prepare(list_images(tmp_path / "photos", class_names=imagenet.class_names()), tmp_path / "out")
    (tmp_path / "out/dataset.json").unlink()  # as shards of others
    said = log_lines
    said.clear()
    dataset = open_dataset(tmp_path / "out", tmp_path / "cache")
    assert (dataset.label_offset, dataset.class_names) == (1, imagenet.class_names())
    assert "n01443537 has the label 2: TF-slim's numbering" in said[0]


def test_mostly_damaged(tmp_path, encode):
    root = tmp_path / "bad"
    for name in ("train/cat", "train/dog", "val/cat"):
        (root / name).mkdir(parents=True)
        for i in range(4):
            (root / name / f"{i}.jpg").write_bytes(b"no image" if i else encode("JPEG"))
    with pytest.raises(DataError, match=r"More than half of the 12 images .*not an image in one of the formats"):
        prepare(list_images(root), tmp_path / "out")
    assert not (tmp_path / "out/dataset.json").exists()
    for path in root.rglob("[123].jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"9 of the 12 images .* are empty \(9\) or missing \(0\)"):
        prepare(list_images(root), tmp_path / "out")


def test_listed_files_that_are_missing_pipes_or_folders(tmp_path, encode):
    (tmp_path / "photos").mkdir()
    for i in range(8):
        (tmp_path / "photos" / f"{i}.jpg").write_bytes(encode("JPEG", seed=i))
    os.mkfifo(tmp_path / "photos/pipe.jpg")
    (tmp_path / "photos/folder.jpg").mkdir()
    lines = [f"photos/{i}.jpg {i % 2}" for i in range(8)]
    odd = ["photos/pipe.jpg 0", "photos/folder.jpg 1", "photos/gone.jpg 0", "nonsense"]
    (tmp_path / "train_list.txt").write_text("\n".join(lines + odd))
    (tmp_path / "val_list.txt").write_text("photos/0.jpg 0\n")
    record = prepare(list_images(tmp_path), tmp_path / "out")
    assert record["splits"] == {"train": 8, "validation": 1}
    assert dict(record["skipped"]) == {
        "photos/folder.jpg": "not a regular file",
        "photos/gone.jpg": "No such file or directory",
        "photos/pipe.jpg": "not a regular file",
        "train_list.txt:12": "not `path label` with a whole number or a class name: nonsense",
    }


def test_plan_depends_on_bytes_alone(many):
    listing = list_images(many)
    measured = measure(listing)
    shards = plan(listing, measured, 10_000, 0)
    train = [shard for shard in shards if shard.split == "train"]
    assert sorted(i.name for shard in train for i in shard.images) == [i.name for i in listing.splits["train"]]
    size = dict(zip((i.name for i in listing.splits["train"]), measured.sizes["train"], strict=True))
    totals = [sum(max(0, size[i.name]) for i in shard.images) for shard in train]
    assert all(10_000 <= total < 12_000 for total in totals[:-1])
    assert [shard.name for shard in train] == [f"train-{k:05d}-of-{len(train):05d}" for k in range(len(train))]
    assert plan(listing, measured, 10_000, 1)[0].images != train[0].images
