"""Takes values out of JSON rows with one parse per row: a structure of texts, and the way to each value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from millpond.ingestion.sql import json_path
from millpond.naming import quoted

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
                node = node.inside.setdefault(key, _Node())
            node.wanted, node.raw = True, node.raw or path in raw

    def structure(self) -> str:
        """Return the structure for DuckDB's `from_json`, as JSON."""
        return json.dumps(self._root.structure())

    def value(self, path: Keys, *, raw: bool = False) -> str:
        """Return the expression for the value at `path` of ROW."""
        node, found = self._root, ROW
        for depth, key in enumerate(path):
            node, found = node.inside[key], f"{found}.{quoted(key)}"
            if (node.whole or node.raw) and depth < len(path) - 1:
                return _inside(found, path[depth + 1 :], raw)
        return _inside(found, (), raw) if node.whole and not raw else f"{found}::varchar"


def _inside(found: str, rest: Sequence[str], raw: bool) -> str:
    return f"json_extract{'' if raw else '_string'}({found}, {json_path(rest)})::varchar"
