"""`millpond sources migrate`, as a person meets it after a change of a type in the spec."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRun, DagsterRunStatus

from fake_source import DAY, Answer, Entries, FakeSource, fake_source, reading
from millpond.ingestion.migration import migrate
from millpond.instance.home import open_instance
from millpond.instance.load_events import read_newest_events
from millpond.partitions import Window
from millpond.settings import Settings
from source_tables import load_days, raw, table_of

Run = Callable[..., tuple[int, str, str]]
NEXT = DAY + dt.timedelta(1)


@pytest.fixture
def source(home: object, configure: Callable[..., Settings]) -> Any:
    """Yield a source that does not answer, of which two days were loaded with `lux` as text."""
    with fake_source() as server:
        configure(greenhouse_url=server.url)
        server.serve = Entries([reading(n, day, lux=100) for day in (DAY, NEXT) for n in range(2)])
        assert not load_days(DAY, NEXT, columns=columns("string")).failed
        server.serve = lambda _: Answer(status=503)
        server.requests.clear()
        yield server


def columns(kind: str) -> dict[str, Any]:
    declared = table_of("climate_entries")[1].columns
    lux = declared["lux"].model_copy(update={"type": kind, "min": None, "max": None, "no_value": None})
    return {**declared, "lux": lux}


def recorded_days() -> set[dt.date]:
    with open_instance() as instance:
        days = Window.of_days(DAY, NEXT)
        return set(read_newest_events(instance, dg.AssetKey("dlt_climate_entries"), days, "main"))


def test_a_table_is_shown_and_converted_without_a_request_and_once(source: FakeSource, run: Run) -> None:
    code, out, err = run("sources", "migrate", "greenhouse.climate_entries", "--dry-run")
    assert code == 0, out + err
    (line,) = [line for line in out.splitlines() if "dlt_climate_entries" in line]
    assert line.replace("│", " ").split() == ["dlt_climate_entries", "lux", "string", "int", "4", "0"]
    assert raw("lux") == ["100"] * 4
    code, out, err = run("sources", "migrate", "greenhouse")
    assert code == 0, out + err
    assert "dlt_climate_entries 2026-11-01...2026-11-02: lux is int (string before)" in out
    assert "millpond backfill" in out
    assert (raw("lux"), source.requests, recorded_days()) == ([100] * 4, [], {DAY, NEXT})
    code, out, err = run("sources", "migrate", "dlt_climate_entries")
    assert (code, out) == (0, "nothing to do: dlt_climate_entries has the types of the spec\n"), err
    assert json.loads(run("sources", "migrate", "greenhouse", "--dry-run", "--json")[1]) == []


def test_days_that_a_killed_run_converted_are_recorded_by_the_next(source: FakeSource, run: Run) -> None:
    killed = DagsterRun(job_name="millpond", status=DagsterRunStatus.FAILURE)
    with open_instance() as instance:
        instance.add_run(killed)
    migrate(table_of("climate_entries")[1], {}, ref="main", run_id=killed.run_id)
    assert (raw("lux"), recorded_days()) == ([100] * 4, set())
    code, out, err = run("sources", "migrate", "climate_entries")
    assert code == 0, out + err
    assert recorded_days() == {DAY, NEXT}


def test_values_that_would_be_lost_are_named_and_nothing_is_written(source: FakeSource, run: Run) -> None:
    source.serve = Entries([reading(0, DAY, lux="LOW"), reading(1, DAY, lux=100)])
    assert not load_days(DAY, columns=columns("string")).failed
    code, out, _ = run("sources", "migrate", "climate_entries", "--dry-run", "--json")
    (change,) = json.loads(out)
    assert (code, change["lost"], change["samples"]) == (1, 1, ["LOW"])
    code, out, err = run("sources", "migrate", "climate_entries")
    assert code == 1
    # Another column of the table is sensitive, so Dagster gets no value; the dry run shows those of this one.
    assert "1 of 4 values of lux (string) are no exact int: '(hidden)'" in out + err, out + err
    assert raw("lux") == ["LOW", "100", "100", "100"]
