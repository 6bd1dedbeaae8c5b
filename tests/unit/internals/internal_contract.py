"""What is installed of the parts of Dagster, dbt, PyIceberg and dlt that we use.

`python tests/unit/internals/internal_contract.py` records it. Run in a process of its own, before our modules
put anything in place of theirs.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import json
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from internal_uses import OURS, Uses, all_uses, is_theirs, own_names, own_underscores

FILE = Path(__file__).with_name("contract.json")
ABSENT = "not installed"
"""Of parts of packages that only our image has."""
MISSING = "missing"
_IN_IMAGE = ("docker", "dagster_docker")
Contract = dict[str, str]
"""What there is, by part, by attribute of a part, by method that we override."""


def read() -> Contract:
    """Return what is installed."""
    found: Contract = {}
    origins = {part: origin for uses in all_uses().values() for part, origin in uses.origins.items()}
    loaded = {part: _load(*origin) for part, origin in origins.items()}
    for part, value in sorted(loaded.items()):
        found[part] = _describe(value)
    for part, attribute in sorted({m for uses in all_uses().values() for m in uses.members}):
        if part in loaded:
            found[f"{part}.{attribute}"] = _describe_member(loaded[part], attribute)
    found |= _tables()
    for uses in _modules_with_subclasses():
        found |= _of_subclasses(uses)
    return {name.removeprefix("millpond.internals."): text for name, text in found.items()}


class _Missing(str):
    """Why a part is not there."""


def _load(module: str, name: str) -> Any:
    try:
        found = importlib.import_module(module)
        return getattr(found, name) if hasattr(found, name) else importlib.import_module(f"{module}.{name}")
    except ImportError as missing:
        absent = (missing.name or "").partition(".")[0] in _IN_IMAGE
        return _Missing(ABSENT if absent else f"{MISSING}: {missing}")


def _describe(found: Any) -> str:
    """Return a part in a line: its parameters, or its fields, columns, members or value."""
    if isinstance(found, _Missing):
        return str(found)
    if isinstance(found, types.ModuleType):
        return f"module {found.__name__}"
    if isinstance(found, type) and issubclass(found, enum.Enum):
        return f"members {', '.join(member.name for member in found)}"
    if fields := getattr(found, "_fields", None):
        return f"fields {', '.join(fields)}"
    if hasattr(found, "columns") and hasattr(found, "metadata"):
        return f"columns {', '.join(sorted(column.name for column in found.columns))}"
    if callable(found):
        return f"({', '.join(_parameters(found))})"
    if isinstance(found, str | int):
        return f"value {found!r}"
    if isinstance(found, frozenset | set | list | tuple):
        return f"values {', '.join(sorted(getattr(each, 'name', str(each)) for each in found))}"
    return f"a {type(found).__name__}"


def _parameters(found: Any) -> list[str]:
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return ["?"]
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [
        stars.get(p.kind, "") + name + ("" if p.default is inspect.Parameter.empty else "=…")
        for name, p in signature.parameters.items()
    ]


def _describe_member(owner: Any, name: str) -> str:
    if isinstance(owner, _Missing):
        return str(owner)
    found = inspect.getattr_static(owner, name, None)
    if found is not None:
        return _describe(found.__func__ if isinstance(found, classmethod | staticmethod) else found)
    if hasattr(owner, name):
        return _describe(getattr(owner, name))
    return "attribute" if isinstance(owner, type) and _sets(owner, name) else MISSING


def _sets(owner: type, name: str) -> bool:
    """Return whether a class annotates an attribute, or its source gives it to instances."""
    for each in owner.__mro__[:-1]:
        if name in getattr(each, "__annotations__", {}):
            return True
        source = _source(each)
        if f"self.{name} =" in source or f"self.{name}:" in source:
            return True
    return False


@cache
def _source(cls: type) -> str:
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return ""


def _tables() -> Contract:
    """Return the columns of Dagster's tables, which statements of ours name as text."""
    from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
    from dagster._core.storage.runs.schema import RunStorageSqlMetadata
    from dagster._core.storage.schedules.schema import ScheduleStorageSqlMetadata

    every = (SqlEventLogStorageMetadata, RunStorageSqlMetadata, ScheduleStorageSqlMetadata)
    tables = {t.name: t for metadata in every for t in metadata.tables.values()}
    return {f"Dagster's table {name}": _describe(table) for name, table in sorted(tables.items())}


def _modules_with_subclasses() -> list[Uses]:
    """Return the modules in which a class is made of one of theirs, or of such a class of ours."""
    ours = [uses for uses in all_uses().values() if uses.module.partition(".")[0] in OURS]
    classes = {
        uses.module: [
            (n.name, [_first_name(b) for b in n.bases]) for n in uses.nodes if isinstance(n, ast.ClassDef)
        ]
        for uses in ours
    }
    theirs = {uses.module: uses.parts.keys() | set(_imported(uses)) for uses in ours}
    known, before = set[str](), -1
    found: dict[str, Uses] = {}
    while before != len(known):
        before = len(known)
        for uses in ours:
            for name, bases in classes[uses.module]:
                if any(base in known or base in theirs[uses.module] for base in bases):
                    known.add(name)
                    found[uses.module] = uses
    return [found[name] for name in sorted(found)]


def _imported(uses: Uses) -> Iterator[str]:
    for node in uses.nodes:
        if isinstance(node, ast.ImportFrom) and is_theirs(node.module or ""):
            yield from (a.asname or a.name for a in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.asname or a.name for a in node.names if is_theirs(a.name))


def _first_name(base: ast.expr) -> str:
    return ast.unparse(base).partition("[")[0].partition(".")[0]


def _of_subclasses(uses: Uses) -> Contract:
    """Return what the classes of a module override, and the underscored attributes that they inherit."""
    try:
        module = importlib.import_module(uses.module)
    except ImportError as missing:
        absent = (missing.name or "").partition(".")[0] in _IN_IMAGE
        return {f"{uses.module} can be loaded": ABSENT if absent else f"{MISSING}: {missing}"}
    found: Contract = {f"{uses.module} can be loaded": "yes"}
    for node in (n for n in uses.nodes if isinstance(n, ast.ClassDef) and n.name in vars(module)):
        cls = getattr(module, node.name)
        theirs = [c for c in cls.__mro__ if is_theirs(c.__module__)]
        for name in sorted(own_names(node)):
            owner = next((c for c in theirs if name in vars(c)), None)
            if owner and not name.startswith("__"):
                is_there = _describe_member(owner, name)
                found[f"{uses.module}.{node.name} overrides {name}"] = f"{owner.__qualname__}: {is_there}"
        ours = {name for c in cls.__mro__ if c.__module__.partition(".")[0] in OURS for name in _own(c)}
        for name in sorted(own_underscores(node)) if theirs else ():
            inherited = [text for c in theirs if (text := _describe_member(c, name)) != MISSING]
            if (inherited or name not in ours) and not _is_method(node, name):
                found[f"{uses.module}.{node.name} inherits {name}"] = inherited[0] if inherited else MISSING
    return found


def _own(cls: type) -> set[str]:
    uses = all_uses().get(cls.__module__)
    nodes = [n for n in uses.nodes if isinstance(n, ast.ClassDef)] if uses else []
    return {name for n in nodes if n.name == cls.__name__ for name in own_names(n)}


def _is_method(node: ast.ClassDef, name: str) -> bool:
    return any(isinstance(n, ast.FunctionDef) and n.name == name for n in node.body)


if __name__ == "__main__":
    text = json.dumps(read(), indent=1, ensure_ascii=False) + "\n"
    print(text, end="") if sys.argv[1:] == ["--print"] else FILE.write_text(text)
