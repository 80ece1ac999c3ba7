"""The Kotlin of docs/phone.md compiles like the app: against Android's classes and stubs of LiteRT."""

from __future__ import annotations

import re
import subprocess

import pytest

pytestmark = pytest.mark.android

IMPORTS = """
import android.content.Context
import android.graphics.Bitmap
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.FileChannel
import org.tensorflow.lite.Interpreter
"""


def test_the_snippet_for_an_app_of_ones_own_compiles(repository, android_tools, tmp_path):
    snippet = re.findall(r"```kotlin\n(.*?)```", (repository / "docs/phone.md").read_text(encoding="utf-8"), re.S)[0]
    (tmp_path / "Snippet.kt").write_text(IMPORTS + snippet, encoding="utf-8")
    android, stubs = android_tools / "android-23.jar", tmp_path / "stubs"
    java = sorted((repository / "tests/android/stubs").rglob("*.java"))
    subprocess.run(["javac", "-nowarn", "--release", "11", "-d", stubs, *java], check=True, timeout=60)
    done = subprocess.run(
        [
            *(android_tools / "bin/kotlinc", "-language-version", "2.2", "-jvm-target", "11", "-Werror"),
            *("-d", tmp_path / "out", "-cp", f"{android}:{stubs}:{android_tools / 'kotlin/kotlin-stdlib.jar'}"),
            tmp_path / "Snippet.kt",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").glob("*.class"))
