"""Names and packages that are imported on first use, so that a process loads only those that it needs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_IMPORTERS = frozenset({"dagster._core.storage.sql", "dagster_postgres.utils"})
_STAND_INS = (
    *("alembic", "alembic.command", "alembic.config", "alembic.runtime", "alembic.runtime.environment"),
    *("alembic.runtime.migration", "alembic.script"),
)


def import_on_demand(module: str, parts: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of `module`; `parts` maps each name to its place: "package.module:name".

    A name without ":name" is a module.
    """

    def get(name: str) -> Any:
        if name not in parts:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        where, _, of = parts[name].partition(":")
        found = importlib.import_module(where)
        value = getattr(found, of) if of else found
        setattr(sys.modules[module], name, value)
        return value

    return get


def import_alembic_late() -> None:
    """Have Dagster import alembic when it creates, examines or migrates its tables, as few processes do.

    That is 140 modules, with every dialect of SQLAlchemy, which every process with Dagster would import.
    Holds for what is imported from here on.
    """
    sys.meta_path.insert(0, _Finder())


class _Late:
    """A function or class of alembic, which is imported when it is called or its attributes are read."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def _load(self) -> Any:
        module, name = self._place
        return getattr(importlib.import_module(module), name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._load()(*args, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._load(), name)


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> _Late:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Late(self.__name__, name)


@contextmanager
def _put_stand_ins() -> Iterator[None]:
    """Have imports of alembic within the block get stand-ins, which hold nothing of it yet."""
    import sqlalchemy

    for name in _STAND_INS:
        sys.modules[name] = _StandIn(name)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
    try:
        yield
    finally:
        for name in _STAND_INS:
            sys.modules.pop(name, None)


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        if "alembic" in sys.modules:
            super().exec_module(module)
        else:
            with _put_stand_ins():
                super().exec_module(module)


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _target: object = None) -> ModuleSpec | None:
        if name not in _IMPORTERS or "alembic" in sys.modules:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec
