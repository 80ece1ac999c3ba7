import errno
import fcntl
import itertools
import os
import shutil

import pytest

from mnext_tf.data import open_dataset
from mnext_tf.data import prepare as prepare_module
from mnext_tf.data.prepare import prepare
from mnext_tf.data.prepare_state import STATE, locked
from mnext_tf.data.shard_plan import measure, plan
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError

SMALL = 4_000  # bytes: some images a shard

KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import tensorflow as tf  # once: the forks below start before it runs anything
from mnext_tf.data import image_files
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.data.prepare import prepare

source, out, shard_bytes, least = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), list(map(int, sys.argv[4:]))
def recorded():
    return len(list(out.glob(".prepare/train-*.json")))
read = image_files.read_listed
image_files.read_listed = lambda *a, **k: (time.sleep(0.1), read(*a, **k))[1]
for shards in least:  # that are finished before the kill at a random moment
    if not (child := os.fork()):
        prepare(list_images(source), out, shard_bytes=shard_bytes, workers=2)
        os._exit(0)
    while recorded() < shards:
        time.sleep(0.005)
    time.sleep(random.uniform(0.0, 0.3))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(*(f"{p.name}:{p.stat().st_ino}:{p.stat().st_mtime_ns}" for p in sorted(out.glob("train-*"))), flush=True)
"""


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


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes(contents, many, undisturbed, tmp_path, python):
    out = tmp_path / "out"
    killed = python("-c", KILLER, many, out, SMALL, 0, 2, 2, 4)
    assert killed.returncode == 0, killed.stderr
    found = [set(line.split()) for line in killed.stdout.split("\n")[:4]]  # name:inode:time of the shards at each kill
    assert len(found[1]) >= 2
    assert len(found[3]) >= 4
    for before, after in itertools.pairwise(found):
        unrecorded = len(before - after)  # a kill between a shard and its record: that one is written again
        assert unrecorded <= 1
    assert not (out / "dataset.json").exists()
    partly = contents(out)
    assert all(partly[name] == undisturbed[1][name] for name in partly if name.startswith("train"))
    with pytest.raises(DataError, match="half written"):
        open_dataset(out, tmp_path / "cache")
    recorded = [name.removesuffix(".json").rsplit("/")[-1] for name in partly if name.startswith(f"{STATE}/train")]
    assert len(recorded) >= 4
    times = {name: (out / name).stat().st_mtime_ns for name in recorded}
    prepare(list_images(many), out, shard_bytes=SMALL)
    assert contents(out) == undisturbed[1]
    assert {name: (out / name).stat().st_mtime_ns for name in recorded} == times


def test_interrupted_it_keeps_whole_shards_and_sweeps_the_rest(
    contents, many, undisturbed, tmp_path, monkeypatch, log_lines
):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".partial-of-somebody-else").touch()
    with monkeypatch.context() as patch:
        done = interrupt_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            prepare(list_images(many), out, shard_bytes=SMALL)
    assert len(list(out.glob(".partial-abc-*"))) == 1
    prepare(list_images(many), out, shard_bytes=SMALL)
    (out / ".partial-of-somebody-else").unlink()
    assert contents(out) == undisturbed[1]
    assert len(done) == 3
    assert "resuming" in log_lines[0]


def test_other_files_or_settings_into_a_begun_folder(contents, many, tmp_path, monkeypatch, undisturbed):
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


def test_finished_folders(contents, many, undisturbed, tmp_path):
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


def test_full_disk_keeps_finished_shards(contents, many, undisturbed, tmp_path, monkeypatch):
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


def fail_on(monkeypatch, name, number):
    """Opening a file of this name fails with the system's error `number`."""
    original = os.open

    def failing(path, *arguments, **options):
        if str(path).endswith(name):
            raise OSError(number, os.strerror(number), path)
        return original(path, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM])
def test_a_failing_disk_is_no_damage(contents, many, undisturbed, tmp_path, monkeypatch, number):
    out, listing = tmp_path / "out", list_images(many)
    shards = plan(listing, measure(listing), SMALL, 0)
    with monkeypatch.context() as patch:
        fail_on(patch, shards[4].images[1].name, number)
        with pytest.raises(DataError, match=f"Reading .* failed: {os.strerror(number)}.*finished shards are kept") as e:
            prepare(listing, out, shard_bytes=SMALL)
    assert "written" not in str(e.value)
    assert "Free some space" not in str(e.value)
    assert [path.name for path in sorted(out.glob("train-*"))] == [shard.name for shard in shards[:4]]
    prepare(listing, out, shard_bytes=SMALL)
    assert contents(out) == undisturbed[1]


def test_a_file_without_permission_is_left_out(many, tmp_path, monkeypatch):
    fail_on(monkeypatch, "n01443537_7.JPEG", errno.EACCES)
    record = prepare(list_images(many), tmp_path / "out", shard_bytes=SMALL)
    assert ["train/n01443537/n01443537_7.JPEG", "Permission denied"] in record["skipped"]


def test_a_file_that_has_gone_since_it_was_listed(contents, many, undisturbed, tmp_path):
    source, out = shutil.copytree(many, tmp_path / "many", symlinks=True), tmp_path / "out"
    listing = list_images(source)
    measured = measure(listing)
    victim = source / plan(listing, measured, SMALL, 0)[3].images[0].name
    victim.rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"was there when the files were listed, and is gone\. .*no longer mounted"):
        prepare(listing, out, shard_bytes=SMALL, measured=measured)
    assert len(list(out.glob("train-*"))) == 3
    (tmp_path / "away").rename(victim)
    prepare(list_images(source), out, shard_bytes=SMALL)
    assert contents(out) == undisturbed[1]


def test_later_damage_removes_no_finished_shard(contents, many, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            prepare(list_images(many), out, shard_bytes=SMALL)
    with monkeypatch.context() as patch:

        def damaged(listing, image, **_):
            raise DataError("damaged")

        patch.setattr(prepare_module.image_files, "read_listed", damaged)
        with pytest.raises(DataError, match=r"More than half of the 73 [\s\S]*Finished shards are kept"):
            prepare(list_images(many), out, shard_bytes=SMALL)
    assert len(list(out.glob("train-*"))) >= 3
    first = sorted(out.glob("train-*"))[:3]
    assert all(path.read_bytes() == undisturbed[1][path.name] for path in first)


def test_a_damaged_description_or_record(contents, many, undisturbed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            prepare(list_images(many), out, shard_bytes=SMALL)
    records = sorted((out / STATE).glob("train-*.json"))
    for path, text in zip(records, ('{"bytes": 12', "[]", '{"bytes": 12}'), strict=True):
        path.write_text(text)
    prepare(list_images(many), out, shard_bytes=SMALL)
    assert contents(out) == undisturbed[1]
    for text in ('{"name": "ma', "[]", "\udcff"):
        (out / "dataset.json").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(DataError, match=r"dataset\.json is damaged.*start over with --force"):
            prepare(list_images(many), out, shard_bytes=SMALL)
    prepare(list_images(many), out, shard_bytes=SMALL, force=True)
    assert contents(out) == undisturbed[1]


def test_photographs_touched_after_they_were_written(many, tmp_path, log_lines):
    source, out = shutil.copytree(many, tmp_path / "many", symlinks=True), tmp_path / "out"
    written = prepare(list_images(source), out, shard_bytes=SMALL)
    prepare(list_images(source), out, shard_bytes=SMALL)
    assert log_lines.pop() == f"{out} is complete already; nothing to do."
    image = source / "train/n01443537/n01443537_5.JPEG"
    data = image.read_bytes()
    image.write_bytes(data[:-3] + b"abc")  # of the same size
    assert prepare(list_images(source), out, shard_bytes=SMALL) == written
    assert "modification times have changed since, their names and sizes have not" in log_lines[-1]


def test_a_lock_is_held_to_the_end_and_no_other_one_removed(tmp_path):
    out = tmp_path / "out"
    with locked(out) as state:
        state.done()
        with pytest.raises(DataError, match=f"Another process .id {os.getpid()}. is writing"), locked(out):
            pass
        shutil.rmtree(out)  # somebody's hand; then another process begins
        (out / STATE).mkdir(parents=True)
        (out / STATE / "lock").write_text("4711")
    assert (out / STATE / "lock").read_text() == "4711"


def test_bytes_are_on_the_disk_before_the_name(many, tmp_path, monkeypatch):
    synced, renamed = [], []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle)) or sync(handle))

    def renaming(old, new):
        stat = os.stat(old)
        renamed.append(os.path.basename(new))
        assert (stat.st_ino, stat.st_size) == (synced[-1].st_ino, synced[-1].st_size)
        replace(old, new)

    monkeypatch.setattr(os, "replace", renaming)
    record = prepare(list_images(many), tmp_path / "out", shard_bytes=SMALL)
    assert set(record["shards"]) < set(renamed)
    assert {f"{shard}.json" for shard in record["shards"]} < set(renamed)
