"""A source that adds, drops or retypes fields: nothing is lost, nothing is guessed."""

from __future__ import annotations

import pytest

from fake_source import DAY, GOOD, Entries, FakeSource, reading
from millpond.ingestion.schema import MOST_ADDED
from millpond.naming import LINEAGE_COLUMNS
from source_tables import load_days, raw, table_of


def test_a_row_of_thousands_of_fields_adds_no_columns(server: FakeSource) -> None:
    many = {f"field{n}": n for n in range(5000)}
    server.serve = Entries([*GOOD, reading(0, **many)])
    assert load_days(DAY).partitions[0].rows_loaded == len(GOOD) + 1
    assert not any(name.startswith("field") for name in raw()[0])


def test_keys_that_are_data_add_no_more_columns_than_the_table_may_have_and_the_load_goes_on(
    server: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    for load in range(3):
        keys = {f"{2024 + load}-01-{n:02}": n for n in range(60)}
        server.serve = Entries([reading(n, comment="x", **keys) for n in range(3)])
        assert load_days(DAY).partitions[0].rows_loaded == 3
        assert raw("comment") == ["x"] * 3
    names = set(raw()[0]) - set(table_of("climate_entries")[1].columns) - set(LINEAGE_COLUMNS)
    assert len(names) == MOST_ADDED
    assert {"_2024_01_59", "_2025_01_00"} <= names
    assert "60 fields not loaded" in caplog.text
    assert "2026-01-00, 2026-01-01" in caplog.text


class TestDrift:
    """A source that changes its fields: nothing is lost, nothing is guessed."""

    def test_a_new_field_becomes_a_text_column_null_before(self, server: FakeSource) -> None:
        server.serve = Entries([reading(0)])
        load_days(DAY)
        server.serve = Entries([reading(0), reading(1, newField=5, Delta=-1.5)])
        load_days(DAY)
        assert [(r["new_field"], r["delta"]) for r in raw()] == [(None, None), ("5", "-1.5")]

    def test_a_new_field_is_ignored_where_the_spec_says_so(self, server: FakeSource) -> None:
        server.serve = Entries([reading(0, newField=5)])
        load_days(DAY, unknown_columns="ignore")
        assert "new_field" not in raw()[0]

    def test_a_field_whose_name_differs_only_by_case_is_left_out(
        self, server: FakeSource, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.serve = Entries([reading(0, LUX=1, **{"s g v": 2, "": 3})])
        load_days(DAY)
        assert [r["lux"] for r in raw()] == [100]
        assert "fields not loaded" in caplog.text

    def test_a_dropped_optional_field_is_null(self, server: FakeSource) -> None:
        server.serve = Entries([reading(0, device=...)])
        load_days(DAY)
        assert raw("device") == [None]

    def test_a_dropped_or_renamed_required_field_fails_the_day(self, server: FakeSource) -> None:
        server.serve = Entries([reading(n, lux=..., climate=100) for n in range(5)])
        (error,) = load_days(DAY).failed.values()
        assert "lux is missing (5)" in error.what
        assert raw() == []

    def test_a_column_of_nulls_has_the_type_of_the_spec(self, server: FakeSource) -> None:
        server.serve = Entries([reading(n, trend=None) for n in range(3)])
        load_days(DAY)
        from millpond.lake import read

        assert str(read.scan("main", "raw.climate_entries").schema.field("trend").type) == "int64"

    def test_a_field_that_turns_into_another_type_is_counted(self, server: FakeSource) -> None:
        server.serve = Entries([reading(0, trend=4)])
        load_days(DAY)
        server.serve = Entries([*GOOD, reading(0, trend="Flat")])
        assert load_days(DAY).partitions[0].nulled == {"trend is no whole number": 1}
