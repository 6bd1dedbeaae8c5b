"""Storing models that Trino computed: Trino counts and hashes the rows, the lake adopts the files."""

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
from millpond.transform.build import describe_write, get_build, get_window, make_table_spec


def store(model: Mapping[str, Any], result: str, started: float) -> None:
    """Replace the rows of the model's table on the build's branch with those of the table `result`."""
    build = get_build(model)
    name = f"{model['schema']}.{model['alias']}"
    columns = arrow_schema(read.load_table(build.ref, result).schema())
    spec, windows = make_table_spec(model, columns), Windows.of(get_window(model))
    there = read.exists(build.ref, name)
    known = read.load_table(build.ref, name).schema().column_names if there else []
    before, after = _compute_digests(
        build.ref, result, name if there else None, columns.names, known, spec.window_column, windows
    )

    def insert(into: str, source: str, names: list[str], condition: str) -> None:
        listed = ", ".join(map(quoted, names))
        trino.run_query(
            f"insert into {_quote_table(into)} ({listed})"  # noqa: S608
            f" select {listed} from {_quote_table(source)} where {condition}",
            build.ref,
        )

    written = adopt(Adoption(build.ref, build.run_id, spec, result, windows, before, after, insert))
    day_rows = {day: digest.rows for day, digest in after.items() if day is not None}
    build.add(describe_write(model, written, time.perf_counter() - started, day_rows))


def _compute_digests(
    ref: str,
    result: str,
    table: str | None,
    columns: list[str],
    known: list[str],
    day: str | None,
    windows: Windows,
) -> tuple[Digests, Digests]:
    """Return the digests of the window's rows in the table and in the result, from one statement.

    The digests of a table with other columns differ from the result's even for the same rows.
    """
    same = sorted(set(columns) - set(LINEAGE_COLUMNS)) == sorted(set(known) - set(LINEAGE_COLUMNS))
    parts = [_build_digest_sql("after", result, columns, day, windows, comparable=True)]
    if table:
        parts.append(_build_digest_sql("before", table, known, day, windows, comparable=same))
    _, rows = trino.run_query(" union all ".join(parts), ref)
    found: dict[str, Digests] = {"before": {}, "after": {}}
    for side, of_day, count, total in rows:
        if count:
            found[side][of_day] = Digest(count, int.from_bytes(bytes(total), "little"))
    return found["before"], found["after"]


def _build_digest_sql(
    side: str, table: str, columns: list[str], day: str | None, windows: Windows, *, comparable: bool
) -> str:
    """Return the query of the row count of each day and a checksum that does not depend on the order."""
    content = ", ".join(quoted(name) for name in sorted(set(columns) - set(LINEAGE_COLUMNS)))
    row = f"row('{'' if comparable else side}', {content})"
    of_day = quoted(day) if day else "cast(null as date)"
    return (
        f"select '{side}', {of_day}, count(*), checksum({row}) from {_quote_table(table)}"  # noqa: S608
        f" where {windows.sql(day)}" + (f" group by {of_day}" if day else "")
    )


def _quote_table(table: str) -> str:
    layer, _, name = table.partition(".")
    return f"{quoted(trino.DATABASE)}.{quoted(layer)}.{quoted(name)}"
