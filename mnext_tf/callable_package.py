"""Packages that share their name with a function of the API: `mnext_tf.export(run)`, `mnext_tf.benchmark(files)`."""

from __future__ import annotations

import importlib
import sys
import types


class CallablePackage(types.ModuleType):
    """A package that calls the function of its name in `mnext_tf.api`, whatever of it was imported first."""

    def __call__(self, *args, **kwargs):
        api = importlib.import_module("mnext_tf.api")  # which imports these packages
        return getattr(api, self.__name__.rpartition(".")[2])(*args, **kwargs)


def make_callable(name: str) -> None:
    sys.modules[name].__class__ = CallablePackage
