"""Rows in quarantine, as a person meets them: listed, shown, loaded after a fix of the spec, removed."""

from __future__ import annotations

import datetime as dt
import json
import shlex
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest

from fake_source import DAY, Answer, Entries, FakeSource, fake_source, reading
from millpond import redaction
from millpond.instance.home import open_instance
from millpond.instance.load_events import read_newest_events
from millpond.lake import read
from millpond.partitions import Window
from millpond.settings import Settings
from source_tables import load_days, table_of

Run = Callable[..., tuple[int, str, str]]
NEXT = DAY + dt.timedelta(1)
GOOD = [reading(n, day) for day in (DAY, NEXT) for n in range(100, 140)]
RANGE, MODEL, SECRET = f"{DAY}...{NEXT}", "stg_climate_entries", "s3cret-of-the-sensor"
RAW, STAGED = "raw.climate_entries", "bronze.stg_climate_entries"


def columns(**lux: Any) -> dict[str, Any]:
    """Return the columns of the climate entries as a former contract had them."""
    declared = table_of("climate_entries")[1].columns
    return {**declared, "lux": declared["lux"].model_copy(update=lux)}


@pytest.fixture
def source(home: object, configure: Callable[..., Settings], run: Run) -> Iterator[FakeSource]:
    """Yield a source of which two days are loaded and staged, then loaded by too strict a contract."""
    with fake_source() as server:
        configure(greenhouse_url=server.url)
        server.serve = Entries(GOOD)
        code, out, err = run("materialize", f"dlt_climate_entries,{MODEL}", "--range", RANGE)
        assert code == 0, out + err
        odd = [reading(n, DAY, lux=600) for n in range(3)]
        server.serve = Entries([*GOOD, *odd, reading(3, DAY, lux="LOW", device=SECRET)])
        assert not load_days(DAY, NEXT, columns=columns(max=500)).failed
        server.serve = lambda _: Answer(status=503)
        server.requests.clear()
        yield server


def rows(table: str, day: dt.date = DAY) -> int:
    return read.count("main", table, window=Window.of_day(day))


def stale(run: Run) -> list[str]:
    _, out, _ = run("backfill", MODEL, "--partitions", f"{DAY},{NEXT}", "--stale", "--dry-run", "--json")
    return [item["partition"] for item in json.loads(out)["items"] if item["todo"]]


def metadata(day: dt.date = DAY) -> dict[str, Any]:
    """Return what Dagster has on record of the newest load of a day."""
    with open_instance() as recorded:
        events = read_newest_events(recorded, dg.AssetKey("dlt_climate_entries"), Window.of_day(day), "main")
    return {name: value.value for name, value in events[day].metadata.items()}


@pytest.mark.slow
def test_rows_that_a_fixed_contract_takes_are_loaded_and_make_what_reads_them_stale(
    source: FakeSource, run: Run
) -> None:
    code, out, _ = run("quarantine", "list", "--json")
    assert [(r["day"], r["rule"], r["rows"]) for r in json.loads(out)] == [
        ("2026-11-01", "lux:max", 3),
        ("2026-11-01", "lux:type", 1),
    ]
    out = run("quarantine", "list")[1]
    assert max(map(len, out.splitlines())) <= 80
    assert stale(run) == []
    code, out, err = run("quarantine", "replay", "climate_entries", "--partition", "2026-11-01")
    assert code == 0, out + err
    assert "dlt_climate_entries 2026-11-01: 3 rows moved, 1 left" in out
    (advice,) = [line for line in out.splitlines() if "is stale" in line]
    advised = shlex.split(advice.partition("millpond ")[2])
    assert (source.requests, rows(RAW), rows(STAGED)) == ([], 43, 40)
    found = metadata()
    assert (found["rows_in_source"], found["rows_loaded"], found["rows_quarantined"]) == (44, 43, 1)
    assert stale(run) == ["2026-11-01"]
    code, out, err = run("quarantine", "replay", "greenhouse", "--json")
    assert code == 0, out + err
    assert [(r["rows"], r["rows_left"]) for r in json.loads(out)] == [(1, 1)]
    assert (rows(RAW), metadata()) == (43, found), "a second time moves nothing"
    (command,) = [
        line for line in run("quarantine", "replay", "greenhouse")[1].splitlines() if "show" in line
    ]
    assert run(*command.split()[1:])[0] == 0
    code, out, err = run(*advised, "--yes")
    assert (code, rows(STAGED), stale(run)) == (0, 43, []), out + err


def test_a_replay_can_build_what_reads_the_table_and_checks_pass(source: FakeSource, run: Run) -> None:
    code, out, err = run("quarantine", "replay", "dlt_climate_entries", "--rule", "lux:max", "--downstream")
    assert code == 0, out + err
    assert rows(STAGED) == 43
    assert "check failed" not in out
    assert "is stale" not in out


def test_a_refused_day_is_loaded_from_its_own_rows(source: FakeSource, run: Run) -> None:
    source.serve = Entries([reading(n, NEXT, lux=700) for n in range(50)])
    (error,) = load_days(NEXT, columns=columns(max=500)).failed.values()
    source.serve = lambda _: Answer(status=503)
    assert rows(RAW, NEXT) == 40
    listed = [r for r in json.loads(run("quarantine", "list", "--json")[1]) if r["day"] == str(NEXT)]
    assert [(r["rule"], r["rows"], r["refused"]) for r in listed] == [("lux:max", 50, error.what)]
    assert "refused" in run("quarantine", "list", "climate_entries", "-p", str(NEXT))[1]
    code, out, err = run("quarantine", "replay", "climate_entries", "-p", str(NEXT))
    assert code == 0, out + err
    assert (rows(RAW, NEXT), metadata(NEXT)["rows_in_source"]) == (50, 50)
    assert stale(run) == [str(NEXT)]


def test_a_day_that_is_refused_again_fails_and_names_the_next_step(source: FakeSource, run: Run) -> None:
    source.serve = Entries([reading(n, NEXT, lux="LOW") for n in range(50)])
    load_days(NEXT)
    code, out, _ = run("quarantine", "replay", "climate_entries", "-p", str(NEXT))
    assert code == 1
    assert "50 of 50 rows break the contract" in out
    assert f"millpond quarantine show dlt_climate_entries --partition {NEXT}" in out
    assert rows(RAW, NEXT) == 40


def test_rows_are_shown_abridged_and_whole_as_json_without_secrets(
    source: FakeSource, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    redaction.register(SECRET)
    monkeypatch.setenv("COLUMNS", "80")
    hidden = json.loads(run("quarantine", "show", "climate_entries", "--rule", "lux:type", "--json")[1])
    assert (hidden[0]["payload"], hidden[0]["reason"]) == ("(sensitive)", "lux is no whole number"), (
        "device is sensitive"
    )
    monkeypatch.setattr("millpond.cli.sensitive.find_hidden", lambda _: frozenset())
    code, out, _ = run("quarantine", "show", "climate_entries", "-p", "2026-11-01", "--rule", "lux")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "lux is above 500" in out
    assert "…" in out
    code, out, _ = run("quarantine", "show", "climate_entries", "--rule", "lux:type", "--json")
    ((row),) = json.loads(out)
    assert json.loads(row["payload"])["lux"] == "LOW"
    assert SECRET not in out
    assert (row["day"], row["rules"], row["refused"]) == ("2026-11-01", ["lux:type"], False)
    out = run("quarantine", "show", "climate_entries", "--limit", "1")[1]
    assert "3 more rows" in out
    assert (
        "no rows of climate_entries are in quarantine for 2026-11-02"
        in run("quarantine", "show", "climate_entries", "-p", "2026-11-02")[1]
    )


def test_rows_are_removed_for_good_once_that_is_confirmed(source: FakeSource, run: Run) -> None:
    day = ("climate_entries", "-p", "2026-11-01", "--rule", "lux:max")
    code, _, err = run("quarantine", "discard", *day)
    assert code == 2
    assert "to remove 3 rows of climate_entries for 2026-11-01 by rule lux:max" in err
    assert "no terminal" in err
    assert rows("quarantine.climate_entries") == 4
    code, out, err = run("quarantine", "discard", *day, "--yes")
    assert code == 0, out + err
    assert "3 rows removed, 0 left" in out
    assert (rows("quarantine.climate_entries"), rows(RAW)) == (1, 40)
    found = metadata()
    assert (found["rows_in_source"], found["rows_quarantined"], found["rows_discarded"]) == (44, 1, 3)
    assert stale(run) == []
    code, out, _ = run("quarantine", "discard", *day, "--yes", "--json")
    assert (code, [r["rows"] for r in json.loads(out)]) == (0, [0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay", "greenhous"), "no source declares a table 'greenhous'"),
        (("replay", "greenhouse", "-p", "2026-11-31"), "2026-11-31"),
        (("replay", "greenhouse", "-p", "2026-11-01", "-r", "2026-11-01...2026-11-02"), "either --partition"),
        (("show", "greenhouse", "--ref", "nowhere"), "nowhere"),
        (("discard", "greenhouse", "--yes"), "--partition or --range"),
    ],
)
def test_what_cannot_be_done_is_refused(
    home: object, run: Run, arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = run("quarantine", *arguments)
    assert code == 2
    assert said in err


def test_without_rows_there_is_nothing_to_do(home: object, run: Run) -> None:
    assert run("quarantine", "list")[:2] == (0, "no rows are in quarantine\n")
    code, out, _ = run("quarantine", "replay", "greenhouse")
    assert (code, "nothing to do" in out) == (0, True)
