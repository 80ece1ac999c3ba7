"""The shape of the library: imports go one way, files stay short, no flags and no printing in it."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
    for p in ROOT.glob("mnext_tf/**/*.py")
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}


def imports(tree: ast.Module) -> set[str]:
    """Modules of ours that a module imports, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("mnext_tf", "pipelines"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in ("mnext_tf", "pipelines")}
    return found


GRAPH = {module: imports(tree) - {module} for module, tree in TREES.items()}


def test_no_cycle_between_modules():
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names the cycle


def test_no_cycle_between_rooms():
    """`runs` reads the record of a recipe, and `training` writes runs: the one exception."""
    rooms: dict[str, set[str]] = {}
    for module, imported in GRAPH.items():
        room = ".".join(module.split(".")[:2])
        others = {".".join(other.split(".")[:2]) for other in imported if other != "mnext_tf.training.recipe"}
        rooms.setdefault(room, set()).update(others - {room, "mnext_tf"})
    rooms.pop("mnext_tf")
    graphlib.TopologicalSorter(rooms).prepare()


def test_the_library_imports_no_command_and_has_no_flags():
    for module, imported in GRAPH.items():
        assert not [name for name in imported if name.startswith("pipelines")], module
    for module, tree in TREES.items():
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert "absl" not in names, module


def test_the_library_does_not_print():
    def main_block(node: ast.AST) -> bool:
        return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)

    for module, tree in TREES.items():
        body = [n for n in tree.body if not main_block(n)]
        calls = [n for top in body for n in ast.walk(top) if isinstance(n, ast.Call)]
        assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], module


@pytest.mark.parametrize(
    "path", sorted([*FILES.values(), *ROOT.glob("pipelines/*.py"), *ROOT.glob("tests/**/*.py")]), ids=str
)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize(
    "module", ["mnext_tf", "mnext_tf.api", "mnext_tf.tflite.metadata", "mnext_tf.inference.predictor"]
)
def test_tensorflow_is_imported_late(module, python):
    done = python("-c", f"import sys, {module}; sys.exit('tensorflow' in sys.modules)")
    assert done.returncode == 0, done.stderr
