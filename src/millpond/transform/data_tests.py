"""The data tests of the project as dbt compiled them; they are run by `audit`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from millpond.partitions import Window
from millpond.transform.models import upstream_tables

_OF_ROWS = frozenset({"rows_satisfy", "falls_on_day", "not_null", "accepted_values"})
"""Kinds of tests that judge each row by itself."""
_OF_KEYS = frozenset({"has_key", "unique"})
"""Kinds of tests that judge a row together with those of the same key."""


@dataclass(frozen=True)
class DataTest:
    """A data test as dbt compiled it; `sql` returns the rows that break it."""

    name: str
    model: str
    reads: tuple[str, ...]
    """The unique_ids of the models it reads."""
    relations: tuple[str, ...]
    """Their tables, as `sql` names them."""
    description: str
    severity: str
    fail_calc: str
    warn_if: str
    error_if: str
    sql: str
    day: str = ""
    """The date column of its table, if it judges rows of a day without looking at other days, but by key."""
    key: tuple[str, ...] = ()
    """The columns by which it looks at other days."""
    opened: str = ""
    """The query for the rows of its table that it judges; by default all."""
    raw: tuple[str, ...] = ()
    """The raw assets that its table is made of."""

    def of(self, window: Window) -> DataTest:
        """Return the test of the rows of `window` alone, and of rows elsewhere with a key of theirs."""
        if not self.day:
            return self
        table = self.relations[0]

        def inside(name: str) -> str:
            day = f"{name}.{self.day}"
            return f"({day} >= date '{window.start}' and {day} < date '{window.end}')"

        rows = f"select * from {table} as ours where {inside('ours')}"  # noqa: S608 - names of the project's
        if self.key and self.day not in self.key:
            columns = ", ".join(self.key)
            same = " and ".join(f"ours.{column} = other.{column}" for column in self.key)
            rows = (
                f"select {columns} from {table} as ours where {inside('ours')}"  # noqa: S608 - as above
                f" union all select {columns} from {table} as other where not {inside('other')}"
                f" and exists (select 1 from {table} as ours where {inside('ours')} and {same})"
            )
        return replace(self, opened=rows)


def data_tests(results: Iterable[Any], document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the data tests among dbt's results of `compile`, as plain dictionaries.

    `document` is the manifest.
    """
    return [asdict(_data_test(r.node, document)) for r in results if r.node.resource_type == "test"]


def due(tests: Iterable[Mapping[str, Any]], built: Iterable[str], there: Iterable[str]) -> list[DataTest]:
    """Return the tests of the models `built` that read nothing but models that are `there`."""
    changed, present = set(built), set(there)
    every = (DataTest(**{name: _fixed(found) for name, found in test.items()}) for test in tests)
    return [test for test in every if changed.intersection(test.reads) and present.issuperset(test.reads)]


def _fixed(found: Any) -> Any:
    return tuple(found) if isinstance(found, list) else found


def _data_test(node: Any, document: Mapping[str, Any]) -> DataTest:
    upstream = upstream_tables(document["nodes"][node.unique_id], document)
    models = [document["nodes"][key] for key in upstream if key.startswith("model.")]
    reads = tuple(model["unique_id"] for model in models)
    attached = getattr(node, "attached_node", None) or ""
    kind: Any = getattr(node, "test_metadata", None)
    # Whose rows are chosen by `where` needs columns beside its key.
    kinds = _OF_ROWS if node.config.where else _OF_ROWS | _OF_KEYS
    narrow = len(reads) == 1 and bool(kind) and kind.name in kinds
    return DataTest(
        name=node.name,
        model=attached if attached in document["nodes"] else next(iter(reads), ""),
        reads=reads,
        relations=tuple(model["relation_name"] for model in models),
        description=" ".join((node.description or "").split()),
        severity=node.config.severity.lower(),
        fail_calc=node.config.fail_calc,
        warn_if=node.config.warn_if,
        error_if=node.config.error_if,
        sql=node.compiled_code,
        day=models[0]["config"].get("event_time") or "" if narrow else "",
        key=_key(kind.kwargs) if narrow and kind.name in _OF_KEYS else (),
        raw=tuple(sorted(_raw(upstream, document))),
    )


def _raw(unique_ids: Iterable[str], document: Mapping[str, Any]) -> set[str]:
    """Return the raw assets that tables are made of."""
    found: set[str] = set()
    for key in unique_ids:
        if source := document["sources"].get(key):
            found |= {f"dlt_{source['name']}"} if source["schema"] == "raw" else set()
        elif key.startswith("model."):
            found |= _raw(upstream_tables(document["nodes"][key], document), document)
    return found


def _key(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    found = arguments.get("columns") or [arguments["column_name"]]
    return tuple(found)
