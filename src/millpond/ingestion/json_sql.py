"""SQL that reads values out of JSON rows, with one parse per row."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb

from millpond.naming import literal, quoted

_LAST_SECOND = 253_402_300_800
"""Year 10000, in seconds since 1970; whatever claims to be later (or as long before) is no time."""
LEAST_MILLISECONDS = 100_000_000_000
"""March 1973; what claims to be earlier is a time in seconds, or none."""
BLANKS: Final = "(' ' || chr(9) || chr(10) || chr(13))"
"""What JSON calls blank, as SQL; DuckDB's trim alone takes spaces only."""
_INDEXED: Final = re.compile(r"(.*?)((?:\[\d+\])+)")
_local = threading.local()


def split_index(key: str) -> tuple[str, str]:
    """Return a key and the places in lists behind it: `items[0]` is `items` and `[0]`."""
    found = _INDEXED.fullmatch(key)
    return (found[1], found[2]) if found else (key, "")


def json_path(keys: Sequence[str]) -> str:
    """Return the JSONPath, as a SQL literal, that leads through `keys`, which may have places in lists."""
    parts = []
    for name, index in map(split_index, keys):
        quoted_name = name.replace("\\", "\\\\").replace('"', '\\"')
        parts.append((f'."{quoted_name}"' if name else "") + index)
    return literal("$" + "".join(parts))


def micros(text: str, unit: str) -> str:
    """Return SQL for the microseconds since 1970 that the SQL `text` says; NULL where it is no time."""
    if unit == "iso":
        moment = f"epoch_us(try_cast({text} as timestamptz))"
        return f"case when {text} glob '[0-9][0-9][0-9][0-9]-*' then {moment} end"
    factor, least, limit = {
        "ms": (1_000, LEAST_MILLISECONDS, _LAST_SECOND * 1_000),
        "s": (1_000_000, 0, _LAST_SECOND),
    }[unit]
    number = f"try_cast({text} as double)"
    is_time = f"abs({number}) >= {least} and abs({number}) < {limit}"
    moment = f"({number} * {factor})::bigint"
    if unit == "ms":
        # Rounded down, so that no time leaves its day; the fraction alone, where doubles are exact.
        moment = f"floor({number})::bigint * 1000 + floor(({number} - floor({number})) * 1000)::bigint"
    return f"case when {is_time} then {moment} end"


def page_connection() -> duckdb.DuckDBPyConnection:
    """Return this thread's connection for looking into single pages; one thread each, no access to files."""
    if not hasattr(_local, "connection"):
        _local.connection = duckdb.connect(
            ":memory:",
            config={
                "threads": "1",
                "enable_external_access": "false",
                "autoload_known_extensions": "false",
                "autoinstall_known_extensions": "false",
            },
        )
        _local.connection.execute("set TimeZone = 'UTC'")
    connection: duckdb.DuckDBPyConnection = _local.connection
    return connection


ROW = "__row"
"""Name of the column that holds a row's structure."""

Keys = tuple[str, ...]


@dataclass
class _Node:
    """A field that is wanted itself (`wanted`, as `raw` JSON or as text), or for the fields inside it."""

    wanted: bool = False
    raw: bool = False
    inside: dict[str, _Node] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        return self.wanted and bool(self.inside)

    def structure(self) -> object:
        if self.whole or self.raw:
            return "JSON"
        return {key: node.structure() for key, node in self.inside.items()} or "VARCHAR"


class Extraction:
    """How to take the values at `paths` out of a row; those in `raw` stay JSON, the others become texts."""

    def __init__(self, paths: Iterable[Keys], raw: Iterable[Keys] = ()) -> None:
        self._root, raw = _Node(), set(raw)
        for path in paths:
            node = self._root
            for key in path:
                name, index = split_index(key)
                node = node.inside.setdefault(name, _Node())
                if index:
                    node.raw = True
                    break
            node.wanted, node.raw = True, node.raw or path in raw

    def structure(self) -> str:
        """Return the structure for DuckDB's `from_json`, as JSON."""
        return json.dumps(self._root.structure())

    def value(self, path: Keys, *, raw: bool = False) -> str:
        """Return the expression for the value at `path` of ROW."""
        node, found = self._root, ROW
        for depth, key in enumerate(path):
            name, index = split_index(key)
            node, found = node.inside[name], f"{found}.{quoted(name)}"
            rest = [index] * bool(index) + list(path[depth + 1 :])
            if (node.whole or node.raw) and rest:
                return _inside(found, rest, raw)
        return _inside(found, (), raw) if node.whole and not raw else f"{found}::varchar"


def _inside(found: str, rest: Sequence[str], raw: bool) -> str:
    return f"json_extract{'' if raw else '_string'}({found}, {json_path(rest)})::varchar"


def has_nul(text: str) -> str:
    r"""Return the condition that JSON `text` holds \u0000, and not as the text of an escaped backslash."""
    return rf"contains({text}, '\u0000') and contains(replace({text}, '\\', ''), '\u0000')"
