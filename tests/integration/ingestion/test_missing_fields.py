"""A source that renames, drops or retypes a declared field stops the days concerned, no nulls come."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from fake_source import DAY, Entries, Events, FakeSource, event, reading
from millpond.errors import FieldsMissing, TooManyBadRows
from millpond.ingestion.missing_fields import LEAST
from millpond.ingestion.window import Shrink
from source_tables import load_days, raw, table_of

NEXT = DAY + dt.timedelta(1)
TODAY = NEXT


def lacking(count: int, day: dt.date = DAY, **changes: Any) -> list[dict[str, Any]]:
    return [reading(n, day, **changes) for n in range(count)]


def test_a_field_that_is_renamed_fails_the_day_which_stays_and_names_the_new_one(server: FakeSource) -> None:
    server.serve = Entries(lacking(LEAST))
    load_days(DAY)
    server.serve = Entries(lacking(LEAST, direction=..., trendArrow="Flat") + lacking(LEAST, NEXT))
    result = load_days(DAY, NEXT)
    assert [day.partition for day in result.partitions] == [NEXT]
    error = result.failed[DAY]
    assert isinstance(error, FieldsMissing)
    assert error.what == (
        "dlt_climate_entries, 2026-11-01: no row has the field direction;"
        " fields that the spec does not name: trendArrow; direction is probably called trendArrow now"
    )
    assert "set `field:` of its column in sources/greenhouse.yaml" in error.next_step
    assert "`millpond materialize dlt_climate_entries --partition 2026-11-01`" in error.next_step
    assert raw("direction") == ["Flat"] * 2 * LEAST
    columns = table_of("climate_entries")[1].columns
    renamed = columns["direction"].model_copy(update={"field": "trendArrow"})
    assert not load_days(DAY, columns={**columns, "direction": renamed}).failed


def test_days_with_few_rows_count_together_and_a_field_of_one_row_is_there(server: FakeSource) -> None:
    few = [row for n in range(3) for row in lacking(LEAST - 1, DAY + dt.timedelta(n), direction=...)]
    server.serve = Entries(few)
    result = load_days(DAY, DAY + dt.timedelta(3))
    assert [day.partition for day in result.partitions] == [DAY + dt.timedelta(3)]
    (error,) = set(result.failed.values())
    assert "2026-11-01...2026-11-03: no row has the field direction" in error.what
    assert not load_days(DAY).failed
    server.serve = Entries([*few, reading(200)])
    assert not load_days(DAY, DAY + dt.timedelta(3)).failed


def test_few_rows_are_compared_with_what_is_loaded_of_their_day_and_of_those_before(
    server: FakeSource,
) -> None:
    days = [DAY + dt.timedelta(n) for n in range(4)]
    server.serve = Entries([row for day in days[:3] for row in lacking(2, day)])
    assert not load_days(days[0], days[2]).failed
    renamed = [row for day in days for row in lacking(2, day, direction=..., trend="Flat")]
    server.serve = Entries(renamed)
    for day in days:
        (error,) = load_days(day).failed.values()
        assert "no row has the field direction" in error.what
    assert raw("direction") == ["Flat"] * 6
    server.serve = Entries([row for day in days for row in lacking(2, day, tmp="Clean")])
    assert not load_days(days[3]).failed  # no row before has a tmp, so nothing says that one is due
    server.serve = Entries([row for day in days for row in lacking(2, day, tmp=1)])
    assert not load_days(days[0], days[3]).failed
    server.serve = Entries(lacking(2, tmp="Clean"))
    (error,) = load_days(DAY).failed.values()
    assert "no value of the column tmp is usable" in error.what


def test_a_value_that_is_optional_or_an_explicit_null_or_excused_may_be_absent(server: FakeSource) -> None:
    server.serve = Entries(lacking(50, device=..., dateString=..., direction=None))
    assert not load_days(DAY).failed
    server.serve = Entries(lacking(50, type="tmp", tmp=90, lux=..., direction=...))
    assert not load_days(DAY).failed
    columns = table_of("climate_entries")[1].columns
    free = columns["direction"].model_copy(update={"optional": True})
    server.serve = Entries(lacking(50, direction=...))
    assert load_days(DAY).failed
    assert not load_days(DAY, columns={**columns, "direction": free}).failed


def test_readings_without_type_whose_value_is_renamed_are_no_day_without_values(server: FakeSource) -> None:
    server.serve = Entries(lacking(50, type=..., lux=..., climate=100))
    (error,) = load_days(DAY).failed.values()
    assert "no row has the field lux; fields that the spec does not name: climate" in error.what


def test_a_required_field_that_is_renamed_is_named_with_the_new_one(server: FakeSource) -> None:
    server.serve = Entries(lacking(50, _id=..., identifier="x"))
    (error,) = load_days(DAY).failed.values()
    assert isinstance(error, TooManyBadRows)
    assert "_id is missing (50); no row has the field _id; fields that the spec" in error.what
    assert error.what.endswith("identifier; _id is probably called identifier now")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("product", "new"), [({"ident": 1, "login": "o"}, "product.ident"), ("corner", ""), (None, "thing")]
)
def test_a_path_that_never_resolves_fails_the_day(server: FakeSource, product: object, new: str) -> None:
    noon = dt.datetime.combine(DAY, dt.time(12), dt.UTC)
    rows = [event(n, noon + dt.timedelta(minutes=n)) for n in range(LEAST)]
    for row in rows:
        row["product"] = product
        if product is None:
            row["thing"] = row.pop("product")
    server.serve = Events(rows, server.url)
    (error,) = load_days(DAY, table="market_events").failed.values()
    assert isinstance(error, FieldsMissing)
    assert "no row has the field product.id (column product_id)" in error.what
    assert new in error.what


def test_a_column_of_which_each_value_is_of_another_type_fails_the_day(server: FakeSource) -> None:
    server.serve = Entries([*lacking(LEAST, tmp="Clean"), reading(100)])
    (error,) = load_days(DAY).failed.values()
    assert isinstance(error, FieldsMissing)
    assert "no value of the column tmp is usable: tmp is no number" in error.what
    server.serve = Entries([*lacking(LEAST, tmp="Clean"), reading(100, tmp=1)])
    assert load_days(DAY).partitions[0].values_nulled == LEAST
    columns = table_of("climate_entries")[1].columns
    lenient = columns["tmp"].model_copy(update={"on_bad": "null"})
    server.serve = Entries(lacking(LEAST, tmp="Clean", direction="Sideways"))
    columns = {**columns, "tmp": lenient}
    assert load_days(DAY, columns=columns, shrink=Shrink(hold_below=0)).partitions[0].values_nulled == 10
