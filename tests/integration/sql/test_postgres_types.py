"""Values of Postgres arrive as they are, whatever their type and that of the column."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import psycopg

from database_tables import load_shop, orders, spec_of

UTC = dt.UTC
NOON = dt.datetime(2026, 11, 2, 12, 30, 0, 123456, UTC)
CASES: list[tuple[str, str, str, Any]] = [
    # type in Postgres, a value, type of the column, what is loaded
    ("numeric(10,2)", "1.10", "decimal(10,2)", Decimal("1.10")),
    ("numeric(10,2)", "1.10", "string", "1.10"),
    (
        "numeric",
        "12345678901234567890.123456789012345678",
        "string",
        "12345678901234567890.123456789012345678",
    ),
    ("numeric", "12345678901234567890.12", "decimal(38,2)", Decimal("12345678901234567890.12")),
    ("numeric", "2.50", "number", 2.5),
    ("numeric(3,-2)", "12300", "int", 12300),
    ("int8", "9223372036854775807", "int", 2**63 - 1),
    ("int8", "9223372036854775807", "string", "9223372036854775807"),
    ("int2", "-5", "int", -5),
    ("int4", "7", "number", 7.0),
    ("int4", "7", "decimal(9,2)", Decimal("7.00")),
    ("float8", "0.1", "number", 0.1),
    ("float8", "3", "int", 3),
    ("float4", "0.1", "number", 0.1),
    ("bool", "true", "bool", True),
    ("bool", "false", "string", "false"),
    ("text", "", "string", ""),
    ("text", 'a,"b"\nc\\N', "string", 'a,"b"\nc\\N'),
    ("text", "1.10", "decimal(4,2)", Decimal("1.10")),
    ("varchar(5)", "äöü", "string", "äöü"),
    ("char(3)", "a", "string", "a  "),
    ("bytea", "\\x00ff", "string", "AP8="),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "string", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", '{"a": 1.10}', "json", '{"a": 1.10}'),
    ("jsonb", '{"a": 1.10, "b": [null]}', "json", '{"a": 1.10, "b": [null]}'),
    ("int[]", "{1,2,NULL}", "json", "[1,2,null]"),
    ("text[]", '{"a,b",c}', "json", '["a,b","c"]'),
    ("date", "2026-11-02", "date", dt.date(2026, 11, 2)),
    ("date", "2026-11-02", "string", "2026-11-02"),
    ("time", "12:30:00.5", "string", "12:30:00.5"),
    ("timestamp", "2026-11-02 12:30:00.123456", "timestamp", NOON),
    ("timestamptz", "2026-11-02 14:30:00.123456+02", "timestamp", NOON),
    ("timestamptz", "2026-11-02 14:30:00.123456+02", "string", "2026-11-02T12:30:00.123456Z"),
    ("timestamp", "2026-11-02 12:30:00", "date", dt.date(2026, 11, 2)),
    ("interval", "1 day 02:00", "string", "1 day 02:00:00"),
    ("inet", "10.0.0.1", "string", "10.0.0.1"),
    ("mood", "so lala", "string", "so lala"),
    ("point", "(1,2)", "string", "(1,2)"),
    ("numeric", "NaN", "string", "NaN"),
    ("numrange", "[1,2)", "string", "[1,2)"),
]


MISFITS = [
    ("float8", "NaN", "number"),
    ("float8", "Infinity", "number"),
    ("numeric", "NaN", "decimal(10,2)"),
    ("numeric(5,2)", "NaN", "decimal(5,2)"),
    ("numeric", "1e40", "decimal(38,2)"),
    ("numeric", "9223372036854775808", "int"),
    ("float8", "1.5", "int"),
    ("timestamp", "infinity", "timestamp"),
    ("date", "-infinity", "date"),
    ("text", "many", "int"),
    ("int4", "7", "bool"),
]


def test_values_are_loaded_as_they_are(postgres: psycopg.Connection[Any]) -> None:
    postgres.execute("create type mood as enum ('so lala')")
    kinds = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(CASES))
    postgres.execute(f"create table orders (id int, {kinds})")
    places = ", ".join(["%s"] * len(CASES))
    postgres.execute(f"insert into orders values (1, {places})", [value for _, value, *_ in CASES])
    postgres.execute("insert into orders (id) values (2)")
    result = load_shop(spec_of({f"c{n}": column for n, (*_, column, _) in enumerate(CASES)}))
    assert not result.failed, result.failed
    first, second = orders()
    assert [first[f"c{n}"] for n in range(len(CASES))] == [loaded for *_, loaded in CASES]
    assert {value for name, value in second.items() if name != "id"} == {None}


def test_a_value_that_does_not_fit_sends_its_row_alone_to_quarantine(
    postgres: psycopg.Connection[Any],
) -> None:
    kinds = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(MISFITS))
    postgres.execute(f"create table orders (id int, {kinds})")
    for number, (_, value, _) in enumerate(MISFITS):
        postgres.execute(f"insert into orders (id, c{number}) values (%s, %s)", (number, value))
    postgres.execute("insert into orders (id) values (99)")
    columns = {f"c{n}": {"type": column, "on_bad": "quarantine"} for n, (*_, column) in enumerate(MISFITS)}
    result = load_shop(spec_of(columns, quarantine={"fail_above": 1}))
    assert not result.failed, result.failed
    assert orders("id") == [99], orders("id", "c0", "c5")
    found = {row["row_key"]: row["reason"] for row in orders(table="quarantine.orders", key="row_key")}
    assert {key: reason.split()[0] for key, reason in found.items()} == {
        str(n): f"c{n}" for n in range(len(MISFITS))
    }


def test_columns_that_the_spec_does_not_name_are_added_with_their_values(
    postgres: psycopg.Connection[Any],
) -> None:
    postgres.execute("create table orders (id int, amount numeric(6,2), at timestamptz, tags text[])")
    postgres.execute("insert into orders values (1, 1.10, '2026-11-02 12:00+00', '{a}')")
    assert not load_shop(spec_of({})).failed
    (row,) = orders("amount", "tags")
    assert row == {"amount": Decimal("1.10"), "tags": '["a"]'}


def test_nothing_but_the_declared_columns_leaves_the_database_where_others_are_ignored(
    postgres: psycopg.Connection[Any],
) -> None:
    postgres.execute("create table orders (id int, amount numeric(6,2), card text)")
    postgres.execute("insert into orders values (1, 1.10, 'secret')")
    postgres.execute("revoke all on orders from reader")
    postgres.execute("grant select (id, amount) on orders to reader")
    assert not load_shop(spec_of({"amount": "decimal(6,2)"}, unknown_columns="ignore")).failed
    assert orders() == [{"id": 1, "amount": Decimal("1.10")}]
