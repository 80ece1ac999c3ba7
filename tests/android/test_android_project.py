"""The source files of the Android project; these tests require no Android tools."""

from __future__ import annotations

import hashlib
import re
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
    """The settings of app/build.gradle.kts with literal values."""
    text = (project / "app" / "build.gradle.kts").read_text()
    return dict(re.findall(r'^\s*(\w+) = "?([\w.]+)"?$', text, re.MULTILINE))


def defined_resources(xml: dict[Path, str]) -> set[str]:
    """string/app_name, layout/controls, and so on."""
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


def test_every_used_resource_exists_and_every_resource_is_used(kotlin, xml):
    defined, used = defined_resources(xml), used_resources(kotlin, xml)
    assert len(used) > 60
    assert used - defined == set()
    unused = {name for name in defined - used if not name.startswith("id/")}
    assert unused == set()


def test_both_main_layouts_have_the_same_views(xml, main):
    parts = [
        set(re.findall(r"@\+id/\w+|@layout/\w+", xml[main / "res" / f / "activity_main.xml"]))
        for f in ("layout", "layout-land")
    ]
    assert parts[0] == parts[1] != set()


def test_night_resources_override_day_resources(main):
    for night in (main / "res" / "values-night").iterdir():
        names = [
            {element.get("name") for element in ElementTree.parse(path).getroot()}
            for path in (night, main / "res" / "values" / night.name)
        ]
        assert names[0] <= names[1]
        assert names[0]


def test_views_have_labels_for_screen_readers(xml):
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


def test_no_hard_coded_text(xml):
    for path, text in xml.items():
        for name in ("text", "label", "contentDescription", "hint"):
            values = re.findall(rf'android:{name}="([^"]*)"', text)
            assert all(value.startswith("@string/") for value in values), path


def test_the_manifest_names_existing_classes_and_requests_no_permissions(main, kotlin):
    root = ElementTree.parse(main / "AndroidManifest.xml").getroot()
    classes = {f"mnext.demo.{path.stem}" for path in kotlin if path.parent.name == "demo"}
    components = [e for kind in ("activity", "provider") for e in root.iter(kind)]
    assert {e.get(f"{ANDROID}name") for e in components} <= classes
    assert all(e.get(f"{ANDROID}exported") in ("true", "false") for e in components)
    assert not list(root.iter("uses-permission"))
    assert root.get("package") is None  # an error in Gradle


def test_core_does_not_depend_on_android(kotlin):
    plain = {path: text for path, text in kotlin.items() if path.parent.name == "core"}
    assert len(plain) > 5
    for path, text in plain.items():
        assert not re.search(r"^import (android|org)\.", text, re.MULTILINE), path


def test_file_and_line_lengths(kotlin):
    for path, text in kotlin.items():
        assert text.count("\n") < 200, path
        assert max(map(len, text.splitlines())) <= 130, path


def test_the_readme_lists_the_versions_of_the_build(project, gradle):
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


def test_the_build_without_gradle_has_the_same_settings(repository, gradle):
    script = (repository / "environments" / "android.sh").read_text()
    assert re.search(r"^API=(\d+)", script, re.MULTILINE)[1] == gradle["minSdk"]
    assert gradle["namespace"] == gradle["applicationId"] == "mnext.demo"


def test_the_command_in_the_app_has_these_flags(main, repository):
    strings = ElementTree.parse(main / "res" / "values" / "strings.xml").getroot()
    text = next(e.text for e in strings if e.get("name") == "no_models")
    command = re.search(r"python -m (pipelines\.\w+)((?: --[\w=]+)+)", text)
    source = (repository / f"{command[1].replace('.', '/')}.py").read_text()
    for flag in re.findall(r"--(\w+)", command[2]):
        assert f'"{flag}"' in source, flag


def test_the_gradle_wrapper_is_the_published_one(project):
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
        pytest.skip("not a git checkout")
    assert done.stdout.split() == names[:3]


@pytest.mark.parametrize("script", ["environments/android.sh", "tests/android/build_apk.sh"])
def test_the_help_of_the_scripts(repository, script):
    done = subprocess.run(["sh", script, "--help"], cwd=repository, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: sh {script}")
    assert subprocess.run(["sh", script, "--nonsense"], cwd=repository, capture_output=True).returncode == 1
