"""The APK that tests/android/build_apk.sh builds."""

from __future__ import annotations

import re
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.android


def dex_classes(dex: bytes) -> set[str]:
    """The classes defined in a dex file, as Lpackage/Name;."""
    assert dex[:4] == b"dex\n"
    string_ids, types, classes = (struct.unpack_from("<II", dex, at) for at in (0x38, 0x40, 0x60))

    def string(index: int) -> str:
        at = struct.unpack_from("<I", dex, string_ids[1] + 4 * index)[0]
        while dex[at] & 0x80:  # the length, redundant because of the terminating zero
            at += 1
        return dex[at + 1 : dex.index(0, at + 1)].decode()

    names = [string(struct.unpack_from("<I", dex, types[1] + 4 * i)[0]) for i in range(types[0])]
    return {names[struct.unpack_from("<I", dex, classes[1] + 32 * i)[0]] for i in range(classes[0])}


@pytest.fixture(scope="module")
def defined(app) -> set[str]:
    with zipfile.ZipFile(app.apk) as apk:
        dexes = [name for name in apk.namelist() if re.fullmatch(r"classes\d*\.dex", name)]
        return set().union(*(dex_classes(apk.read(name)) for name in dexes))


@pytest.fixture(scope="module")
def aapt2(app, android_tools):
    def aapt2(*arguments: str) -> str:
        command = [android_tools / "bin" / "aapt2", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    return aapt2


def test_all_three_signature_schemes(app, android_tools):
    command = [android_tools / "bin" / "apksigner", "verify", "--verbose", "--min-sdk-version", "23", app.apk]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    verified = dict(re.findall(r"^Verified using (v[\d.]+) scheme.*: (true|false)$", output, re.MULTILINE))
    assert (verified["v1"], verified["v2"], verified["v3"]) == ("true", "true", "true")


def test_a_changed_byte_in_the_model_breaks_the_signature(app, android_tools, tmp_path):
    with zipfile.ZipFile(app.apk) as apk:
        at = _content_begin(app.apk, apk.getinfo("assets/small.tflite"))
    content = bytearray(app.apk.read_bytes())
    content[at + 100] ^= 1
    (tmp_path / "other.apk").write_bytes(content)

    command = [android_tools / "bin" / "apksigner", "verify", tmp_path / "other.apk"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode != 0


def test_the_model_is_stored_and_aligned(app, app_assets):
    with zipfile.ZipFile(app.apk) as apk:
        entry = apk.getinfo("assets/small.tflite")
        assert entry.compress_type == zipfile.ZIP_STORED
        begin = _content_begin(app.apk, entry)
        assert begin % 4 == 0
        assert app.apk.read_bytes()[begin : begin + entry.file_size] == (app_assets / "small.tflite").read_bytes()


def test_it_contains_all_assets_and_no_hidden_files(app, app_assets):
    with zipfile.ZipFile(app.apk) as apk:
        packed = {name.removeprefix("assets/"): apk.read(name) for name in apk.namelist() if name.startswith("assets/")}
    assert packed == {path.name: path.read_bytes() for path in app_assets.iterdir() if path.name != ".gitkeep"}
    assert len(packed) == 4


def test_the_manifest_matches_gradle(app, aapt2):
    badging = aapt2("dump", "badging", str(app.apk))

    assert "package: name='mnext.demo' versionCode='1' versionName='1.0'" in badging
    assert "sdkVersion:'23'" in badging
    assert "targetSdkVersion:'36'" in badging
    assert "launchable-activity: name='mnext.demo.MainActivity'" in badging
    assert "uses-permission" not in badging


def test_only_the_main_activity_is_exported(app, aapt2):
    tree = aapt2("dump", "xmltree", "--file", "AndroidManifest.xml", str(app.apk))

    elements = re.split(r"^\s*E: ", tree, flags=re.MULTILINE)
    exported = {
        re.search(r':name\(\w+\)="([^"]+)"', e)[1]: re.search(r":exported\(\w+\)=(\w+)", e)[1]
        for e in elements
        if re.match(r"activity|provider", e)
    }
    assert exported == {
        "mnext.demo.MainActivity": "true",
        "mnext.demo.CheckActivity": "false",
        "mnext.demo.CameraProvider": "false",
    }


def test_the_litert_stubs_are_not_in_it(defined):
    assert "Lmnext/demo/MainActivity;" in defined
    assert "Lkotlin/Unit;" in defined
    assert not [name for name in defined if name.startswith("Lorg/tensorflow/")]


def test_it_contains_every_class_of_the_manifest(defined, repository):
    manifest = (repository / "android_assets/app/src/main/AndroidManifest.xml").read_text()

    names = re.findall(r'<(?:activity|provider)\s+android:name="([^"]+)"', manifest)
    assert len(names) == 3
    assert {f"L{name.replace('.', '/')};" for name in names} <= defined


def test_missing_tools(repository, tmp_path):
    done = subprocess.run(
        ["sh", "tests/android/build_apk.sh", "--tools", "nowhere", "--out", tmp_path / "x.apk"],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "sh environments/android.sh nowhere" in done.stderr
    assert not (tmp_path / "x.apk").exists()


def _content_begin(apk: Path, entry: zipfile.ZipInfo) -> int:
    names = struct.unpack_from("<HH", apk.read_bytes(), entry.header_offset + 26)
    return entry.header_offset + 30 + sum(names)
