import csv
import os
import socket
import zlib
from pathlib import Path

import numpy as np
import pytest

from mnext_tf.files import (
    atomic_folder,
    atomic_write,
    cached_sha256,
    read_json,
    reserve_space,
    sha256,
    sha256_of,
    sweep,
    write_csv,
    write_json,
    write_text,
)


def test_a_file_appears_whole(tmp_path):
    with atomic_write(tmp_path / "deep" / "a.txt") as temporary:
        assert temporary.parent == tmp_path / "deep"  # the same file system: renaming is atomic
        temporary.write_text("new")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"
    assert os.listdir(tmp_path / "deep") == ["a.txt"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")

    def write():
        with atomic_write(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_files_and_folders_have_the_permissions_of_the_umask(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "a")
        with atomic_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "stage"
    for name in ("first", "second"):
        with atomic_folder(folder) as temporary:
            (temporary / name).write_text(name)
            (temporary / "same").write_text(name)
    assert sorted(os.listdir(folder)) == ["same", "second"]
    assert (folder / "same").read_text() == "second"
    assert os.listdir(tmp_path) == ["stage"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path, error):
    folder = tmp_path / "stage"
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text("old")

    def write():
        with atomic_folder(folder) as temporary:
            (temporary / "a").write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert (folder / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["stage"]


def test_the_hash_of_a_folder_is_of_names_and_bytes(tmp_path):
    def folder(name, files):
        for path, text in files.items():
            write_text(tmp_path / name / path, text)
        return sha256(tmp_path / name)

    first = folder("first", {"a": "1", "sub/b": "2"})
    assert folder("same", {"sub/b": "2", "a": "1"}) == first
    others = [
        folder("bytes", {"a": "1", "sub/b": "3"}),
        folder("name", {"a": "1", "sub/c": "2"}),
        folder("moved", {"a": "1", "b": "2"}),
        folder("swapped", {"a": "2", "sub/b": "1"}),
        folder("fewer", {"a": "1"}),
    ]
    assert len({first, *others}) == 6


def test_the_hash_of_a_file_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_hash_of_a_value_ignores_the_order_of_keys():
    assert sha256_of({"a": 1, "b": (1, 2)}) == sha256_of({"b": [1, 2], "a": 1})
    assert sha256_of([1, 2]) != sha256_of([2, 1])


def test_json_takes_numpy_scalars_tuples_and_paths(tmp_path):
    write_json(tmp_path / "a.json", {"n": np.float32(0.5), "t": (1, np.int64(2)), "p": Path("x/y"), "ü": "é"})
    assert read_json(tmp_path / "a.json") == {"n": 0.5, "t": [1, 2], "p": "x/y", "ü": "é"}


def test_csv_has_every_column_of_every_row(tmp_path):
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": 2}, {"b": 3, "c": "x,y"}])
    with open(tmp_path / "a.csv", newline="") as f:
        assert list(csv.DictReader(f)) == [{"a": "1", "b": "2", "c": ""}, {"a": "", "b": "3", "c": "x,y"}]


@pytest.mark.parametrize("write", [atomic_write, atomic_folder])
def test_an_error_of_the_system_names_the_file_that_was_meant(tmp_path, write):
    def fail(filename):
        with write(tmp_path / "a") as temporary:
            raise OSError(28, "No space left on device", *([str(temporary)] if filename else []))

    for filename in (False, True):  # a full disk's error names none
        with pytest.raises(OSError, match="No space") as caught:
            fail(filename)
        assert caught.value.filename == str(tmp_path / "a")


def test_space_is_reserved(tmp_path):
    reserve_space(tmp_path / "a", (1 << 20) + 5)
    assert (tmp_path / "a").stat().st_size == (1 << 20) + 5


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_json_is_a_value_error(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError):  # noqa: PT011 (its texts are Python's)
        read_json(tmp_path / "a.json")


def test_a_cached_hash_follows_the_file(tmp_path):
    path = tmp_path / "a"
    for text in ("first", "third", "other"):  # of one length, in one moment
        path.write_text(text)
        assert cached_sha256(path) == sha256(path)
    path.unlink()
    write_text(path / "b", "a folder")
    assert cached_sha256(path) == sha256(path)


def test_hidden_files_of_the_user_are_not_swept(tmp_path):
    (tmp_path / ".gitignore.partial-mine").write_text("*")
    (tmp_path / ".notes.old-2024").mkdir()
    (tmp_path / ".notes.old-2024/diary.txt").write_text("dear diary")
    sweep(tmp_path)
    assert (tmp_path / ".gitignore.partial-mine").is_file()
    assert (tmp_path / ".notes.old-2024/diary.txt").is_file()


def test_leftovers_of_an_earlier_process_with_our_id_are_swept(tmp_path):
    """In a container every process may be number 1."""
    name = f".partial-{os.getpid()}-{zlib.crc32(socket.gethostname().encode()):08x}-abcd1234-x.json"
    for file, changed in ((tmp_path / name, 1e9), (tmp_path / name.replace("x.json", "live.json"), None)):
        file.write_text("half")
        if changed:
            os.utime(file, (changed, changed))
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [name.replace("x.json", "live.json")]
