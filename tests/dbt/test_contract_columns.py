"""The columns that a contract declares are described once for a text; those of a query each time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from dbt.adapters.duckdb.column import DuckDBColumn

from millpond.transform.duckdb_answers import describe_casts_once

_WRAPPED = "select * from (\n        {}\n    ) as __dbt_sbq\n    where false\n    limit 0\n"
_GAP = ", \n      \n    "
_DECLARED = {
    "day": "date",
    "rate": "decimal(18, 3)",
    '"the moment"': "timestamp with time zone",
    "ids": "bigint[]",
}
_CASTS = "select\n    \n      \n    " + _GAP.join(
    f"cast(null as {kind})\n as {name}" for name, kind in _DECLARED.items()
)


def _describe(adapter: Any, sql: str) -> list[Any]:
    adapter.asked.append(sql)
    rows = adapter.connection.execute(f"DESCRIBE ({sql})").fetchall()
    return [DuckDBColumn(column=row[0], dtype=row[1]) for row in rows]


@pytest.fixture
def adapter() -> Any:
    return SimpleNamespace(asked=[], connection=duckdb.connect())


def test_declared_columns_are_described_once(adapter: Any) -> None:
    describe, sql = describe_casts_once(_describe), _WRAPPED.format(_CASTS)
    first, again = describe(adapter, sql), describe(adapter, sql)
    assert len(adapter.asked) == 1
    assert [(column.name, column.dtype) for column in again] == [
        ("day", "DATE"),
        ("rate", "DECIMAL(18,3)"),
        ("the moment", "TIMESTAMP WITH TIME ZONE"),
        ("ids", "BIGINT[]"),
    ]
    again[0].dtype = "changed"
    assert describe(adapter, sql) == first


@pytest.mark.parametrize(
    "query",
    [
        "select cast(null as mood) as mood",
        "select cast(null as date) as day from readings",
        "select cast(null as date) as day, rate from readings",
        "select * from readings",
    ],
)
def test_what_another_statement_may_change_is_described_each_time(adapter: Any, query: str) -> None:
    adapter.connection.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
    adapter.connection.execute("CREATE TABLE readings (rate double)")
    describe = describe_casts_once(_describe)
    for _ in range(2):
        describe(adapter, _WRAPPED.format(query))
    assert len(adapter.asked) == 2
