"""The documentation says what the code does: Python examples run, tables match the records, links lead somewhere."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from mnext_tf.training.detection_recipe import UNUSED, DetectionRecipe
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import RECIPES
from mnext_tf.training.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "android_assets/README.md"])


def code_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.slow
def test_the_python_page_runs_from_top_to_bottom(python, tmp_path):
    blocks = code_blocks(ROOT / "docs/python.md")
    assert len(blocks) >= 8
    script = tmp_path / "page.py"
    script.write_text(f"import os\nos.chdir({str(tmp_path)!r})\n" + "\n".join(blocks))
    done = python(script, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "mine.tflite").is_file()


def recipe_table(names, fields) -> str:
    """Fields with their help and their value in each of these recipes."""
    rows = [["flag", "what it is", *(f"`{name}`" for name in names)]]
    rows.append(["---"] * len(rows[0]))
    values = {
        name: vars(recipe) | (vars(recipe.detection) if recipe.detection else {}) for name, recipe in RECIPES.items()
    }
    for f in fields:
        row = [values[name][f.name] for name in names]
        rows.append([f"`--{f.name}`", f.metadata["help"], *(f"{v:g}" if type(v) is float else str(v) for v in row)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def recipe_tables() -> dict[str, str]:
    """Classifiers with all of their fields, and detectors with those that they use."""
    shared = [f for f in dataclasses.fields(Recipe) if f.name != "detection"]
    used = [f for f in shared if f.name not in UNUSED]
    tasks = {detector: [n for n in RECIPES if bool(RECIPES[n].detection) == detector] for detector in (False, True)}
    return {
        "recipes": recipe_table(tasks[False], shared),
        "detectors": recipe_table(tasks[True], [*dataclasses.fields(DetectionRecipe), *used]),
    }


def test_the_tables_of_recipes_are_those_of_the_code():
    """UPDATE_DOCS=1 writes them."""
    page = ROOT / "docs/recipes.md"
    text = wanted = page.read_text(encoding="utf-8")
    for mark, table in recipe_tables().items():
        assert f"<!-- {mark} -->\n" in text
        wanted = re.sub(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", rf"\g<1>{table}\n\2", wanted, flags=re.S)
    if os.environ.get("UPDATE_DOCS"):
        page.write_text(wanted, encoding="utf-8")
    assert text == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_and_flags_that_pages_name_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"python -m ((?:pipelines|benchmarks)\.\w+)", text):
        assert (ROOT / f"{name.replace('.', '/')}.py").is_file(), name
    flags = "\n".join(p.read_text() for p in [*(ROOT / "pipelines").glob("*.py"), *(ROOT / "benchmarks").rglob("*.sh")])
    flags += "\n".join(
        f.name for record in (Recipe, DetectionRecipe, TrainSettings) for f in dataclasses.fields(record)
    )
    ours = re.sub(r"(?m)^\s*#SBATCH.*$", "", text)
    for flag in re.findall(r"(?<![\w-])--(\w+)", ours):
        assert re.search(rf"\b{flag}\b", flags), f"{page.name} names --{flag}"
