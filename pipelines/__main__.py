"""`mnext COMMAND --flag=value ...`: the same commands as `python -m pipelines.COMMAND`, for an installed package."""

from __future__ import annotations

import importlib.util
import pkgutil
import runpy
import sys

import pipelines


def commands() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(pipelines.__path__) if not m.name.startswith("_"))


def main() -> None:
    given = sys.argv[1] if len(sys.argv) > 1 else "--help"
    name = given.replace("-", "_")
    if name in commands():
        sys.argv[:2] = [f"mnext {name.replace('_', '-')}"]
        runpy.run_module(f"pipelines.{name}", run_name="__main__", alter_sys=True)
        return
    lines = ["Usage: mnext COMMAND [--flag=value ...]; mnext COMMAND --help lists the flags.", ""]
    lines += [f"  {c.replace('_', '-'):20} {_summary(c)}" for c in commands()]
    if given in ("--help", "-h", "help"):
        print("\n".join(lines))
        return
    known = ", ".join(c.replace("_", "-") for c in commands())
    sys.exit(_fail(f"error: there is no command {given!r}; the commands are {known}."))


def _fail(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


def _summary(name: str) -> str:
    """The first sentence of a command's description, without importing it."""
    import ast

    source = importlib.util.find_spec(f"pipelines.{name}").loader.get_source(f"pipelines.{name}")
    return ast.get_docstring(ast.parse(source)).split(". ")[0].splitlines()[0].rstrip(".") + "."


if __name__ == "__main__":
    main()
