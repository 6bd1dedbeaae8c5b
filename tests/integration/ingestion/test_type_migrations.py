"""A changed type of a column: the load says how to migrate, and a migration converts all rows or none."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from test_contract_versions import Loading

from millpond import crash_points
from millpond.errors import SchemaConflict
from millpond.ingestion.assets import build_assets
from millpond.ingestion.load import load
from millpond.ingestion.migration import migrate, plan_migration
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.naming import PARTITION_COLUMN
from millpond.partitions import Window
from millpond.resources.run import ACCEPT_TAG, daily_partitions, partition_tags

DAY = dt.date(2026, 11, 1)
DAYS = Window.of_days(DAY, DAY + dt.timedelta(2))
VOLTS: dict[dt.date, list[Any]] = dict(zip(DAYS.days, ([1, 2], [3, None], [None, None]), strict=True))


def spec_of(kind: str, *, typed: bool = False, **more: Any) -> SourceSpec:
    def cells(start: dt.datetime, end: dt.datetime) -> Any:
        rows = [
            {"id": f"{day}/{n}", "at": f"{day}T12:00:00Z", "volts": value}
            for day in Window(start.date(), end.date()).days
            for n, value in enumerate(VOLTS[day])
        ]
        return pa.Table.from_pylist(rows) if typed else iter(rows)

    table = {
        "name": "cells",
        "resource": cells,
        "key": ["id"],
        "event_time": {"column": "at"},
        "columns": {"id": "string", "at": "timestamp", "volts": {"type": kind}},
        **more,
    }
    return SourceSpec.model_validate({"source": "cells", "tables": [table]})


def load_cells(kind: str, **more: Any) -> LoadResult:
    spec = spec_of(kind, **more)
    return load(spec, spec.tables[0], DAYS, ref="main", run_id="test")


def volts() -> list[Any]:
    found: list[Any] = read.scan("main", "raw.cells").sort_by("id")["volts"].to_pylist()
    return found


def migrate_to(kind: str, **more: Any) -> LoadResult:
    return migrate(spec_of(kind, **more).tables[0], {}, ref="main", run_id="migration")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("more", [{}, {"typed": True}, {"write": "upsert"}], ids=["json", "typed", "upsert"])
def test_a_load_with_another_type_names_the_command_that_converts_the_rows(more: dict[str, Any]) -> None:
    assert not load_cells("int", **more).failed
    with pytest.raises(SchemaConflict) as refused:
        load_cells("string", **more)
    assert refused.value.what == "dlt_cells: volts is int in the lake, string in the spec"
    assert "`millpond sources migrate dlt_cells`" in refused.value.next_step
    assert volts() == [1, 2, 3, None, None, None]
    (change,) = plan_migration(spec_of("string").tables[0], "main")
    assert (change.before, change.after, change.values, change.lost) == ("int", "string", 3, 0)
    before = read.scan("main", "raw.cells").sort_by("id").drop_columns("volts")
    result = migrate_to("string", **more)
    assert [day.partition for day in result.partitions] == DAYS.days
    assert volts() == ["1", "2", "3", None, None, None]
    assert read.scan("main", "raw.cells").sort_by("id").drop_columns("volts") == before
    assert not load_cells("string", **more).failed
    assert volts() == ["1", "2", "3", None, None, None]


@pytest.mark.usefixtures("home")
def test_a_narrower_type_is_that_of_the_table_after_a_migration_and_a_wider_one_comes_with_a_load() -> None:
    load_cells("int")
    load_cells("number")
    assert volts() == [1.0, 2.0, 3.0, None, None, None]
    migrate_to("int")
    assert read.scan("main", "raw.cells").schema.field("volts").type == pa.int64()
    migrate_to("decimal(6,2)")
    assert read.scan("main", "raw.cells").schema.field("volts").type == pa.decimal128(6, 2)
    assert not load_cells("decimal(8,2)").failed
    assert plan_migration(spec_of("decimal(8,2)").tables[0], "main") == []


@pytest.mark.usefixtures("home")
def test_a_migration_that_would_lose_a_value_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VOLTS, DAY, ["7", "Flat"])
    load_cells("string")
    before = read.load_table("main", "raw.cells").metadata_location
    with pytest.raises(SchemaConflict) as refused:
        migrate_to("int")
    assert "1 of 3 values of volts (string) are no exact int: 'Flat'" in refused.value.what
    assert read.load_table("main", "raw.cells").metadata_location == before
    (change,) = plan_migration(spec_of("int").tables[0], "main")
    assert (change.lost, change.samples) == (1, ("Flat",))


@pytest.mark.usefixtures("home")
def test_a_field_that_was_added_as_text_gets_the_type_that_is_declared_later() -> None:
    columns = {"id": "string", "at": "timestamp"}
    load_cells("", columns=columns)
    assert volts() == ["1", "2", "3", None, None, None]
    migrate_to("int")
    assert volts() == [1, 2, 3, None, None, None]
    names = read.load_table("main", "raw.cells").schema().column_names
    assert names[:3] == ["id", "at", "volts"]


class Killed(BaseException):
    """The process ends."""


@pytest.mark.usefixtures("home")
def test_the_days_of_a_migration_that_was_killed_are_reported_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    previous = {day.partition: {"version": day.content_hash} for day in load_cells("int").partitions}

    def kill(at: str, place: str) -> None:
        if place == at:
            raise Killed

    for at, expected in (("lake.metadata_written", 1), ("ingestion.migrated", "1")):
        monkeypatch.setattr(crash_points, "reached", partial(kill, at))
        with pytest.raises(Killed):
            migrate_to("string")
        assert volts()[0] == expected
    monkeypatch.undo()
    table = spec_of("string").tables[0]
    found = migrate(table, previous, ref="main", run_id="again").partitions  # type: ignore[arg-type]
    assert [day.partition for day in found] == DAYS.days[:2], "the third day has no volts"
    recorded = {day.partition: {"version": day.content_hash} for day in found}
    again = migrate(table, previous | recorded, ref="main", run_id="again")  # type: ignore[arg-type]
    assert again.partitions == []


@pytest.mark.usefixtures("home")
def test_days_with_converted_values_make_what_reads_them_stale_and_the_table_itself_is_fresh() -> None:
    @dg.asset(
        partitions_def=daily_partitions(),
        deps=["dlt_cells"],
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def below() -> None:
        pass

    def assets(kind: str) -> list[dg.AssetsDefinition]:
        return [*build_assets([spec_of(kind)]), below]

    def stale(kind: str) -> dict[str, list[dt.date]]:
        graph = dg.Definitions(assets=assets(kind)).resolve_asset_graph()
        found = CachingStaleStatusResolver(instance, graph, Loading(instance))
        return {
            name: [d for d in DAYS.days if found.get_status(dg.AssetKey(name), str(d)) == StaleStatus.STALE]
            for name in ("dlt_cells", "below")
        }

    with dg.instance_for_test() as instance:
        assert dg.materialize(assets("int"), instance=instance, tags=partition_tags(DAYS)).success
        assert stale("int") == {"dlt_cells": [], "below": []}
        assert stale("string")["dlt_cells"] == DAYS.days
        tags = {ACCEPT_TAG: "migrate", **partition_tags(DAYS)}
        changed = assets("string")
        assert dg.materialize(changed, instance=instance, tags=tags, selection=[changed[0]]).success
        assert stale("string") == {"dlt_cells": [], "below": DAYS.days[:2]}
        assert read.scan("main", "raw.cells", columns=[PARTITION_COLUMN]).num_rows == 6
