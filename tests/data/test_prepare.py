import fcntl
import json
import os

import pytest

from mnext_tf.data import open_dataset, tfrecord
from mnext_tf.data import prepare as prepare_module
from mnext_tf.data.listing import list_images
from mnext_tf.data.plan import measure, plan
from mnext_tf.data.prepare import prepare
from mnext_tf.data.unfinished import STATE, locked
from mnext_tf.errors import DataError

SMALL = 4_000  # bytes: some images a shard


@pytest.fixture(scope="module")
def many(tmp_path_factory, encode):
    """60 training and 12 validation photographs in 3 classes, among them every kind of trouble."""
    from PIL import Image

    root = tmp_path_factory.mktemp("many") / "many"
    for split, count in (("train", 20), ("val", 4)):
        for c, name in enumerate(("n01440764", "n01443537", "Zürich see")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                path = root / split / name / f"{name}_{i}.JPEG"
                path.write_bytes(encode("JPEG", seed=1000 * c + 10 * i + (split == "val")))
    turned = Image.Exif()
    turned[0x0112] = 6
    odd = root / "train/n01440764"
    (odd / "n01440764_0.JPEG").write_bytes(encode("PNG"))
    (odd / "n01440764_1.JPEG").write_bytes(encode("JPEG", mode="CMYK"))
    (odd / "n01440764_2.JPEG").write_bytes(encode("JPEG", exif=turned))
    (odd / "n01440764_3.JPEG").write_bytes(encode("JPEG")[:200])
    (odd / "n01440764_4.JPEG").write_bytes(b"")
    (odd / "n01443537_99.JPEG").write_bytes(encode("JPEG", seed=99))
    (odd / "broken.JPEG").symlink_to("nowhere")
    return root


def contents(folder):
    """Every byte below `folder`, hidden files too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def undisturbed(many, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    record = prepare(list_images(many), out, shard_bytes=SMALL)
    return record, contents(out)


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
    assert not any(word in json.dumps(record) for word in ("202", "0x", str(many)))


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


def test_workers_and_machine_do_not_matter(many, undisturbed, tmp_path):
    for workers in (1, 5):
        prepare(list_images(many), tmp_path / str(workers), shard_bytes=SMALL, workers=workers)
        assert contents(tmp_path / str(workers)) == undisturbed[1]


def test_imagenet_synsets_are_stored(tmp_path, encode):
    from mnext_tf.data import imagenet

    for folder in ("train/goldfish", "val/goldfish"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        (tmp_path / "photos" / folder / "1.jpg").write_bytes(encode("JPEG"))
    prepare(list_images(tmp_path / "photos", class_names=imagenet.class_names()), tmp_path / "out")
    (tmp_path / "out/dataset.json").unlink()  # as shards of others
    said = []
    dataset = open_dataset(tmp_path / "out", tmp_path / "cache", log=said.append)
    assert (dataset.label_offset, dataset.class_names) == (1, imagenet.class_names())
    assert "n01443537 has the label 2: TF-slim's numbering" in said[0]


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import tensorflow as tf  # once: the forks below start before it runs anything
from mnext_tf.data import folder
from mnext_tf.data.listing import list_images
from mnext_tf.data.prepare import prepare

source, out, shard_bytes, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
read = folder.read_listed
folder.read_listed = lambda *a: (time.sleep(0.1), read(*a))[1]
for _ in range(kills):
    if not (child := os.fork()):
        prepare(list_images(source), out, shard_bytes=shard_bytes, workers=2)
        os._exit(0)
    time.sleep(random.uniform(0.05, 0.6))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(len([n for n in os.listdir(out) if n.startswith("train")]) if out.exists() else 0, flush=True)
"""


def test_killed_at_random_moments_it_ends_with_the_same_bytes(many, undisturbed, tmp_path, python):
    out = tmp_path / "out"
    killed = python("-c", KILLER, many, out, SMALL, 4)
    assert killed.returncode == 0, killed.stderr
    found = list(map(int, killed.stdout.split()))
    assert found == sorted(found)  # no finished shard was lost
    assert not (out / "dataset.json").exists()
    partly = contents(out)
    assert all(partly[name] == undisturbed[1][name] for name in partly if name.startswith("train"))
    with pytest.raises(DataError, match="half written"):
        open_dataset(out, tmp_path / "cache")
    recorded = [name.removesuffix(".json").rsplit("/")[-1] for name in partly if name.startswith(f"{STATE}/train")]
    times = {name: (out / name).stat().st_mtime_ns for name in recorded}
    prepare(list_images(many), out, shard_bytes=SMALL)
    assert contents(out) == undisturbed[1]
    assert {name: (out / name).stat().st_mtime_ns for name in recorded} == times


def interrupt_after(monkeypatch, shards):
    """Make the writing stop after some shards, with a half-written one left as after a kill."""
    original = prepare_module._write_shard
    done = []

    def write(results, state, shard, synsets):
        if len(done) == shards:
            (state.out / f".partial-abc-{shard.name}").write_bytes(b"half")
            raise KeyboardInterrupt
        done.append(shard.name)
        return original(results, state, shard, synsets)

    monkeypatch.setattr(prepare_module, "_write_shard", write)
    return done


def test_interrupted_it_keeps_whole_shards_and_sweeps_the_rest(many, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".partial-of-somebody-else").touch()
    with monkeypatch.context() as patch:
        done = interrupt_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            prepare(list_images(many), out, shard_bytes=SMALL)
    assert len(list(out.glob(".partial-abc-*"))) == 1
    said = []
    prepare(list_images(many), out, shard_bytes=SMALL, log=said.append)
    (out / ".partial-of-somebody-else").unlink()
    assert contents(out) == undisturbed[1]
    assert len(done) == 3
    assert "going on" in said[0]


def test_other_files_or_settings_into_a_begun_folder(many, tmp_path, monkeypatch, undisturbed):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            prepare(list_images(many), out, shard_bytes=SMALL)
    with pytest.raises(DataError, match="half written from other files or with other settings"):
        prepare(list_images(many), out, shard_bytes=SMALL + 1)
    before = contents(out)
    with pytest.raises(DataError, match="half written"):
        prepare(list_images(many / "train"), out, shard_bytes=SMALL)
    assert contents(out) == before
    prepare(list_images(many), out, shard_bytes=SMALL, force=True)
    assert contents(out) == undisturbed[1]


def test_finished_folders(many, undisturbed, tmp_path):
    out = tmp_path / "out"
    prepare(list_images(many), out, shard_bytes=SMALL)
    written = (out / "dataset.json").stat().st_mtime_ns
    (out / STATE).mkdir()  # as after a kill between the last two steps
    assert prepare(list_images(many), out, shard_bytes=SMALL) == undisturbed[0]
    assert (out / "dataset.json").stat().st_mtime_ns == written
    assert not (out / STATE).exists()
    with pytest.raises(DataError, match="another data set, or one made with other settings"):
        prepare(list_images(many), out)
    (out / "dataset.json").unlink()
    with pytest.raises(DataError, match="shards of another origin, train-00000-of"):
        prepare(list_images(many), out, shard_bytes=SMALL)
    assert set(contents(out)) == set(undisturbed[0]["shards"])


def test_only_one_process_writes(many, tmp_path):
    out = tmp_path / "out"
    (out / STATE).mkdir(parents=True)
    with open(out / STATE / "lock", "w") as lock:  # another process would hold it the same way
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=r"Another process \(id 4711\) is writing to"):
            prepare(list_images(many), out)
    prepare(list_images(many), out)
    with locked(tmp_path / "unused"):
        pass
    assert not (tmp_path / "unused").exists()


def test_full_disk_keeps_finished_shards(many, undisturbed, tmp_path, monkeypatch):
    import tensorflow as tf

    full = []

    class Writer(tf.io.TFRecordWriter):
        def write(self, record):
            if len(full) > 30:
                raise tf.errors.ResourceExhaustedError(None, None, "/out/x; No space left on device")
            full.append(len(record))
            super().write(record)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Writer)
        with pytest.raises(
            DataError, match=r"out: No space left on device\. Free some space.*finished shards are kept"
        ):
            prepare(list_images(many), out, shard_bytes=SMALL)
    shards = [name for name in os.listdir(out) if not name.startswith(".")]
    assert len(shards) > 2
    assert not list(out.glob(".partial*"))
    prepare(list_images(many), out, shard_bytes=SMALL)
    assert contents(out) == undisturbed[1]


def test_mostly_damaged(tmp_path, encode):
    root = tmp_path / "bad"
    for name in ("train/cat", "train/dog", "val/cat"):
        (root / name).mkdir(parents=True)
        for i in range(4):
            (root / name / f"{i}.jpg").write_bytes(b"no image" if i else encode("JPEG"))
    with pytest.raises(DataError, match=r"More than half of the 12 photographs .*not an image that Pillow can read"):
        prepare(list_images(root), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for path in root.rglob("[123].jpg"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"9 of the 12 photographs .* are empty \(9\) or missing \(0\)"):
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
        "train_list.txt:12": "not `path label` with a whole number: nonsense",
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
