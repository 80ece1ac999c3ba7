"""The Android project as text: nothing here needs its tools."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ANDROID = "{http://schemas.android.com/apk/res/android}"


@pytest.fixture(scope="module")
def project(repository) -> Path:
    return repository / "android_assets"


@pytest.fixture(scope="module")
def main(project) -> Path:
    return project / "app" / "src" / "main"


@pytest.fixture(scope="module")
def kotlin(main) -> dict[Path, str]:
    return {path: path.read_text() for path in sorted((main / "kotlin").rglob("*.kt"))}


@pytest.fixture(scope="module")
def xml(main) -> dict[Path, str]:
    return {path: path.read_text() for path in [main / "AndroidManifest.xml", *sorted((main / "res").rglob("*.xml"))]}


@pytest.fixture(scope="module")
def gradle(project) -> dict[str, str]:
    """The settings of app/build.gradle.kts that are plain values."""
    text = (project / "app" / "build.gradle.kts").read_text()
    return dict(re.findall(r'^\s*(\w+) = "?([\w.]+)"?$', text, re.MULTILINE))


def defined_resources(xml: dict[Path, str]) -> set[str]:
    """string/app_name, layout/controls and so on."""
    found = {f"{path.parent.name.split('-')[0]}/{path.stem}" for path in xml if path.parent.parent.name == "res"}
    for path, text in xml.items():
        if path.parent.name.startswith("values"):
            found |= {f"{element.tag}/{element.get('name')}" for element in ElementTree.fromstring(text)}
        found |= {f"id/{name}" for name in re.findall(r'"@\+id/(\w+)"', text)}
    return {name for name in found if not name.startswith("values/")}


def used_resources(kotlin: dict[Path, str], xml: dict[Path, str]) -> set[str]:
    in_code = {"/".join(m) for text in kotlin.values() for m in re.findall(r"(?<!android\.)\bR\.(\w+)\.(\w+)", text)}
    in_files = {"/".join(m) for text in xml.values() for m in re.findall(r'["> ]@(\w+)/(\w+)', text)}
    return in_code | in_files


def test_every_resource_that_is_used_exists_and_the_other_way_round(kotlin, xml):
    defined, used = defined_resources(xml), used_resources(kotlin, xml)
    assert len(used) > 60
    assert used - defined == set()
    unused = {name for name in defined - used if not name.startswith("id/")}
    assert unused == set()


def test_both_layouts_of_the_first_screen_hold_the_same_parts(xml, main):
    parts = [
        set(re.findall(r"@\+id/\w+|@layout/\w+", xml[main / "res" / f / "activity_main.xml"]))
        for f in ("layout", "layout-land")
    ]
    assert parts[0] == parts[1] != set()


def test_night_has_nothing_that_day_has_not(main):
    for night in (main / "res" / "values-night").iterdir():
        names = [
            {element.get("name") for element in ElementTree.parse(path).getroot()}
            for path in (night, main / "res" / "values" / night.name)
        ]
        assert names[0] <= names[1]
        assert names[0]


def test_what_can_be_touched_or_seen_has_a_name_for_screen_readers(xml):
    elements = [
        e for path, text in xml.items() if "layout" in path.parent.name for e in ElementTree.fromstring(text).iter()
    ]
    labelled = {e.get(f"{ANDROID}labelFor", "").split("/")[-1] for e in elements}
    seen = 0
    for element in elements:
        if element.tag in ("ImageView", "ProgressBar"):
            assert element.get(f"{ANDROID}contentDescription"), element.attrib
        elif element.tag == "Spinner":
            assert element.get(f"{ANDROID}id").split("/")[-1] in labelled
        elif element.tag == "Button":
            assert element.get(f"{ANDROID}text", "").startswith("@string/")
        else:
            continue
        seen += 1
    assert seen == 11


def test_no_text_stands_outside_of_the_strings(xml):
    for path, text in xml.items():
        for name in ("text", "label", "contentDescription", "hint"):
            values = re.findall(rf'android:{name}="([^"]*)"', text)
            assert all(value.startswith("@string/") for value in values), path


def test_the_manifest_names_classes_that_exist_and_asks_for_no_permission(main, kotlin):
    root = ElementTree.parse(main / "AndroidManifest.xml").getroot()
    classes = {f"mnext.demo.{path.stem}" for path in kotlin if path.parent.name == "demo"}
    components = [e for kind in ("activity", "provider") for e in root.iter(kind)]
    assert {e.get(f"{ANDROID}name") for e in components} <= classes
    assert all(e.get(f"{ANDROID}exported") in ("true", "false") for e in components)
    assert not list(root.iter("uses-permission"))
    assert root.get("package") is None  # Gradle refuses one here


def test_the_plain_part_needs_no_android(kotlin):
    plain = {path: text for path, text in kotlin.items() if path.parent.name == "core"}
    assert len(plain) > 5
    for path, text in plain.items():
        assert not re.search(r"^import (android|org)\.", text, re.MULTILINE), path


def test_every_file_is_short_enough_to_be_read(kotlin):
    for path, text in kotlin.items():
        assert text.count("\n") < 200, path
        assert max(map(len, text.splitlines())) <= 130, path


def test_the_readme_tells_the_versions_that_the_build_has(project, gradle):
    readme = (project / "README.md").read_text()
    versions = tomllib.loads((project / "gradle" / "libs.versions.toml").read_text())["versions"]
    wrapper = (project / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text()
    distribution = re.search(r"gradle-([\d.]+)-bin\.zip", wrapper)[1]

    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", readme, re.MULTILINE))
    assert rows["Android Gradle plugin"] == versions["agp"]
    assert rows["LiteRT"] == versions["litert"]
    assert rows["Gradle"] == distribution
    assert rows["compileSdk, targetSdk"] == f"{gradle['compileSdk']}, {gradle['targetSdk']}"
    assert rows["minSdk"] == gradle["minSdk"]


def test_the_build_without_gradle_is_for_the_same_android(repository, gradle):
    script = (repository / "environments" / "android.sh").read_text()
    assert re.search(r"^API=(\d+)", script, re.MULTILINE)[1] == gradle["minSdk"]
    assert gradle["namespace"] == gradle["applicationId"] == "mnext.demo"


def test_the_command_that_the_app_names_has_its_flags(main, repository):
    strings = ElementTree.parse(main / "res" / "values" / "strings.xml").getroot()
    text = next(e.text for e in strings if e.get("name") == "no_models")
    command = re.search(r"python -m (pipelines\.\w+)((?: --[\w=]+)+)", text)
    source = (repository / f"{command[1].replace('.', '/')}.py").read_text()
    for flag in re.findall(r"--(\w+)", command[2]):
        assert f'"{flag}"' in source, flag


def test_gradles_wrapper_is_the_published_one(project):
    wrapper = (project / "gradle" / "wrapper" / "gradle-wrapper.jar").read_bytes()
    digest = hashlib.sha256(wrapper).hexdigest()
    assert digest == "b3a875ddc1f044746e1b1a55f645584505f4a10438c1afea9f15e92a7c42ec13"
    assert digest in (project / "README.md").read_text()


def test_exported_models_are_not_committed(repository):
    assets = "android_assets/app/src/main/assets"
    names = [f"{assets}/{name}" for name in ("mnext.tflite", "mnext.json", "mnext.golden.rgb", ".gitkeep")]
    command = ["git", "check-ignore", "--no-index", *names]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    if done.returncode == 128:
        pytest.skip("this is no git checkout")
    assert done.stdout.split() == names[:3]


@pytest.mark.parametrize("script", ["environments/android.sh", "tests/android/build_apk.sh", "android_assets/gradlew"])
def test_the_scripts_are_clean(repository, script):
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing")
    done = subprocess.run(["shellcheck", script], cwd=repository, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["environments/android.sh", "tests/android/build_apk.sh"])
def test_the_scripts_say_how_they_are_used(repository, script):
    done = subprocess.run(["sh", script, "--help"], cwd=repository, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: sh {script}")
    assert subprocess.run(["sh", script, "--nonsense"], cwd=repository, capture_output=True).returncode == 1
