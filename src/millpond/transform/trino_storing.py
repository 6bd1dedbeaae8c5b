"""Storing what Trino computed: counted and summed there, its files taken over by the lake."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from millpond.lake import read, trino
from millpond.lake.adoption import Adoption, adopt
from millpond.lake.hashing import Digest, Digests
from millpond.lake.schema import arrow_schema
from millpond.lake.windows import Windows
from millpond.naming import LINEAGE_COLUMNS, quoted
from millpond.transform.building import build_for, stored, table_spec, window


def store(model: Mapping[str, Any], result: str, started: float) -> None:
    """Make the model's table on the build's branch hold the rows of the table `result`; tell the build."""
    build = build_for(model)
    name = f"{model['schema']}.{model['alias']}"
    columns = arrow_schema(read.load_table(build.ref, result).schema())
    spec, windows = table_spec(model, columns), Windows.of(window(model))
    there = read.exists(build.ref, name)
    known = read.load_table(build.ref, name).schema().column_names if there else []
    before, after = _digests(
        build.ref, result, name if there else None, columns.names, known, spec.window_column, windows
    )

    def insert(into: str, source: str, names: list[str], condition: str) -> None:
        listed = ", ".join(map(quoted, names))
        trino.run_query(
            f"insert into {_named(into)} ({listed}) select {listed} from {_named(source)} where {condition}",  # noqa: S608
            build.ref,
        )

    written = adopt(Adoption(build.ref, build.run_id, spec, result, windows, before, after, insert))
    day_rows = {day: digest.rows for day, digest in after.items() if day is not None}
    build.add(stored(model, written, time.perf_counter() - started, day_rows))


def _digests(
    ref: str,
    result: str,
    table: str | None,
    columns: list[str],
    known: list[str],
    day: str | None,
    windows: Windows,
) -> tuple[Digests, Digests]:
    """Return the digests of the window's rows in the table and in the result, from one statement.

    Of a table with other columns only the rows are counted: its digests are none of the result's.
    """
    same = sorted(set(columns) - set(LINEAGE_COLUMNS)) == sorted(set(known) - set(LINEAGE_COLUMNS))
    parts = [_digest_sql("after", result, columns, day, windows, comparable=True)]
    if table:
        parts.append(_digest_sql("before", table, known, day, windows, comparable=same))
    _, rows = trino.run_query(" union all ".join(parts), ref)
    found: dict[str, Digests] = {"before": {}, "after": {}}
    for side, of_day, count, total in rows:
        if count:
            found[side][of_day] = Digest(count, int.from_bytes(bytes(total), "little"))
    return found["before"], found["after"]


def _digest_sql(
    side: str, table: str, columns: list[str], day: str | None, windows: Windows, *, comparable: bool
) -> str:
    """Return the query of the rows of each day and the sum of their hashes, which no order changes."""
    content = ", ".join(quoted(name) for name in sorted(set(columns) - set(LINEAGE_COLUMNS)))
    row = f"row('{'' if comparable else side}', {content})"
    of_day = quoted(day) if day else "cast(null as date)"
    return (
        f"select '{side}', {of_day}, count(*), checksum({row}) from {_named(table)}"  # noqa: S608
        f" where {windows.sql(day)}" + (f" group by {of_day}" if day else "")
    )


def _named(table: str) -> str:
    layer, _, name = table.partition(".")
    return f"{quoted(trino.DATABASE)}.{quoted(layer)}.{quoted(name)}"
