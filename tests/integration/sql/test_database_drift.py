"""A database whose columns change: what a load says, and what a migration makes of the loaded rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from database_tables import DAY, load_shop, orders, spec_of, the_error
from millpond.errors import FieldsMissing, FieldsUnknown, SchemaConflict
from millpond.ingestion.migration import migrate
from millpond.ingestion.spec import SourceSpec


def spec(amount: str, **table: Any) -> SourceSpec:
    columns = {"at": "timestamp", "amount": amount}
    return spec_of(columns, event_time={"column": "at"}, **table)


def test_a_column_that_the_database_retypes_is_named_with_both_types_and_migrated(
    postgres: psycopg.Connection[Any],
) -> None:
    postgres.execute("create table orders (id int primary key, at timestamptz, amount int)")
    postgres.execute(
        "insert into orders select n, timestamptz '2026-11-02 12:00+00', n from generate_series(1, 6) n"
    )
    assert not load_shop(spec("int")).failed
    postgres.execute("alter table orders alter column amount type decimal(10,2)")
    assert not load_shop(spec("int")).failed, "whole numbers stay such"
    postgres.execute("update orders set amount = amount + 0.5")
    error = the_error(load_shop(spec("int")))
    assert isinstance(error, FieldsMissing)
    assert "no value of the column amount is usable: amount is no whole number" in error.what
    assert "it is int in the spec, decimal(10,2) in the source" in error.what
    changed = spec("decimal(10,2)")
    with pytest.raises(SchemaConflict, match="amount is int in the lake, decimal"):
        load_shop(changed)
    assert orders("amount") == [1, 2, 3, 4, 5, 6]
    migrate(changed.tables[0], {}, ref="main", run_id="migration")
    assert orders("amount") == [Decimal(n) for n in range(1, 7)]
    assert not load_shop(changed).failed
    assert orders("amount") == [Decimal(n) + Decimal("0.5") for n in range(1, 7)]


def test_a_frozen_table_is_not_loaded_once_the_database_has_a_new_column(
    postgres: psycopg.Connection[Any],
) -> None:
    postgres.execute("create table orders (id int primary key, at timestamptz, amount int)")
    postgres.execute("insert into orders values (1, timestamptz '2026-11-02 12:00+00', 3)")
    frozen = spec("int", unknown_columns="freeze")
    assert not load_shop(frozen).failed
    postgres.execute("alter table orders add column note text")
    error = the_error(load_shop(frozen))
    assert isinstance(error, FieldsUnknown)
    assert f"dlt_orders, {DAY}: " in error.what
    assert "note (1 row)" in error.what
    assert not load_shop(spec("int", unknown_columns="quarantine")).failed, "no row has a value in it"


def test_an_added_column_that_is_retyped_is_to_be_declared(postgres: psycopg.Connection[Any]) -> None:
    postgres.execute("create table orders (id int primary key, at timestamptz, amount int, note int)")
    postgres.execute("insert into orders values (1, timestamptz '2026-11-02 12:00+00', 3, 4)")
    assert not load_shop(spec("int")).failed
    postgres.execute("alter table orders alter column note type text")
    with pytest.raises(SchemaConflict) as refused:
        load_shop(spec("int"))
    assert "raw.orders.note is int64 in the table and string in the data" in refused.value.what
    assert "declare the column" in refused.value.next_step
    assert "`millpond sources migrate dlt_orders`" in refused.value.next_step
    declared = spec_of({"at": "timestamp", "amount": "int", "note": "string"}, event_time={"column": "at"})
    migrate(declared.tables[0], {}, ref="main", run_id="migration")
    assert not load_shop(declared).failed
    assert orders("note") == ["4"]
