"""The difference of two sets of rows, computed by column: rows added, removed, and changed by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import duckdb
import pyarrow as pa

from millpond.lake.schema import find_widest_type
from millpond.lake.versions import Version
from millpond.naming import quoted

_COPIES, _COME, _GONE, _PAIRED = (quoted(f"millpond.{name}") for name in ("copies", "come", "gone", "paired"))
"""Our own columns, under names that no column of a table has.

Copies are how many more equal rows the later side has, negative if fewer; come, gone and paired count the
rows of a key on the later side, on the earlier, and on both.
"""
Row = dict[str, Any]


@dataclass(frozen=True)
class RowChange:
    """A row of both sides: its key, and each column that differs with its value before and after."""

    key: Row
    columns: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Delta:
    """How many rows were added, removed and changed, with samples of each in the order of the key.

    Rows that are equal except for lineage cancel out first. Of the rest, rows with the same key are a change;
    if a key has several rows they are paired. Without a key nothing counts as changed.
    """

    added: int
    removed: int
    changed: int
    samples_added: tuple[Row, ...] = ()
    samples_removed: tuple[Row, ...] = ()
    samples_changed: tuple[RowChange, ...] = ()


def compute_delta(
    connection: duckdb.DuckDBPyConnection,
    before: Version,
    after: Version,
    key: Sequence[str],
    samples: int,
) -> Delta:
    """Return how the rows of `before` became those of `after`."""
    columns = _store(connection, before, after)
    key = [name for name in key if name in columns]
    by_key = [quoted(name) for name in key]
    paired = f"least({_COME}, {_GONE})" if key else "0::bigint"
    connection.execute(
        f"create or replace temp table keys as select {''.join(f'{name}, ' for name in by_key)}"  # noqa: S608
        f" coalesce(sum({_COPIES}) filter ({_COPIES} > 0), 0)::bigint as {_COME},"
        f" coalesce(-sum({_COPIES}) filter ({_COPIES} < 0), 0)::bigint as {_GONE},"
        f" {paired} as {_PAIRED} from delta group by {', '.join(by_key) or '()'}"
    )
    added, removed, changed = connection.execute(
        f"select coalesce(sum({_COME} - {_PAIRED}), 0)::bigint,"  # noqa: S608
        f" coalesce(sum({_GONE} - {_PAIRED}), 0)::bigint, coalesce(sum({_PAIRED}), 0)::bigint from keys"
    ).fetchall()[0]
    sampled = _Samples(connection, columns, key, samples)
    found = Delta(
        added,
        removed,
        changed,
        samples_added=tuple(sampled.rows(f"{_COME} > {_PAIRED}", after.schema().names, lambda come, _: come)),
        samples_removed=tuple(
            sampled.rows(f"{_GONE} > {_PAIRED}", before.schema().names, lambda _, gone: gone)
        ),
        samples_changed=tuple(sampled.changes()),
    )
    connection.execute("drop table delta; drop table keys")
    return found


def _store(connection: duckdb.DuckDBPyConnection, before: Version, after: Version) -> list[str]:
    """Fill the table `delta` with the rows that do not cancel out; return their columns."""
    then, now = before.schema(), after.schema()
    columns = [*now.names, *(name for name in then.names if name not in now.names)]
    sides = [(now, "after", 1), (then, "before", -1)]
    union = " union all ".join(
        f"select {', '.join(_select_column(name, own, other) for name in columns)}, {copies} from {side}_rows"  # noqa: S608
        for (own, side, copies), other in zip(sides, (then, now), strict=True)
    )
    names = ", ".join(map(quoted, columns))
    connection.register("before_rows", before.rows() if then.names else pa.table({"nothing": pa.nulls(0)}))
    connection.register("after_rows", after.rows() if now.names else pa.table({"nothing": pa.nulls(0)}))
    connection.execute(
        f"create or replace temp table delta as select {names}, sum({_COPIES})::bigint as {_COPIES}"  # noqa: S608
        f" from ({union}) as sides({names}, {_COPIES}) group by {names} having sum({_COPIES}) <> 0"
    )
    connection.unregister("before_rows")
    connection.unregister("after_rows")
    return columns


def _select_column(name: str, own: pa.Schema, other: pa.Schema) -> str:
    """Return a column of one side: null if only the other side has it, as text if the types clash."""
    if name not in own.names:
        return f"null as {quoted(name)}"
    if name in other.names:
        mine, theirs = own.field(name).type, other.field(name).type
        if find_widest_type(mine, theirs) is None and find_widest_type(theirs, mine) is None:
            return f"{quoted(name)}::varchar as {quoted(name)}"
    return quoted(name)


class _Samples:
    """Rows of the first few keys that match a condition, the two sides of a key in pairs."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, columns: Sequence[str], key: Sequence[str], limit: int
    ) -> None:
        self._connection, self._columns, self._key, self._limit = connection, columns, key, limit

    def rows(
        self,
        condition: str,
        columns: Iterable[str],
        side: Callable[[Row | None, Row | None], Row | None],
    ) -> list[Row]:
        """Return rows without a partner on the other side, in the given columns."""
        shown = list(columns)
        alone = (side(come, gone) for come, gone in self._pairs(condition) if come is None or gone is None)
        return [{name: row[name] for name in shown} for row in alone if row is not None][: self._limit]

    def changes(self) -> list[RowChange]:
        """Return rows with a partner, as the columns in which they differ."""
        pairs = [(gone, come) for come, gone in self._pairs(f"{_PAIRED} > 0") if come and gone]
        return [
            RowChange(
                {name: after[name] for name in self._key},
                {
                    name: (before[name], after[name])
                    for name in self._columns
                    if not _is_same(before[name], after[name])
                },
            )
            for before, after in pairs[: self._limit]
        ]

    def _pairs(self, condition: str) -> Iterable[tuple[Row | None, Row | None]]:
        if not self._limit:
            return
        rows: dict[tuple[Any, ...], tuple[list[Row], list[Row]]] = {}
        for copies, row in self._sample(condition):
            come, gone = rows.setdefault(tuple(row[name] for name in self._key), ([], []))
            (come if copies > 0 else gone).extend([row] * min(abs(copies), self._limit))
        for come, gone in rows.values():
            if self._key:
                yield from zip_longest(come, gone)
            else:
                yield from ((row, None) for row in come)
                yield from ((None, row) for row in gone)

    def _sample(self, condition: str) -> Iterable[tuple[int, Row]]:
        names = ", ".join(f"d.{quoted(name)}" for name in self._columns)
        by_key = [f"d.{quoted(name)}" for name in self._key]
        same = " and ".join(f"k.{quoted(n)} is not distinct from d.{quoted(n)}" for n in self._key) or "true"
        first = f"order by {', '.join(map(quoted, self._key))}" if self._key else ""
        n = f"d.{_COPIES}"
        found = self._connection.execute(
            f"select {n}, {names} from delta d join"  # noqa: S608
            f" (select * from keys where {condition} {first} limit {self._limit}) k on {same}"
            f" qualify row_number() over (partition by {', '.join([*by_key, f'{n} > 0'])} order by {names})"
            f" <= {self._limit} order by {', '.join([*by_key, names])}"
        ).fetchall()
        return [(row[0], dict(zip(self._columns, row[1:], strict=True))) for row in found]


def _is_same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)
