"""`millpond doctor` finds what is wrong, each with a remedy, and `--fix` mends what needs no decision."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerting import alert, put
from lake_readings import write
from millpond.alerts.outbox import outbox
from millpond.cli import doctor_checks
from millpond.errors import SourceUnreachable
from millpond.ingestion import breaker
from millpond.lake import refs
from millpond.lake.connect import borrow_connection
from millpond.lake.metadata import _parsed
from millpond.lake.pointers import read_pointers
from millpond.runtime.databases import databases
from millpond.settings import Settings

Run = Callable[..., tuple[int, str, str]]


def examine(run: Run, *options: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """Return the exit code, and the problems by check."""
    code, out, err = run("doctor", "--json", *options)
    assert out, err
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(out):
        assert finding["remedy"]
        if finding["kind"] == "problem":
            found.setdefault(finding["check"], []).append(finding)
    return code, found


@pytest.mark.usefixtures("home")
def test_a_home_in_which_all_is_well_has_no_problems(run: Run) -> None:
    write({0: [1]})
    assert examine(run) == (0, {})


@pytest.mark.usefixtures("home")
def test_what_needs_no_decision_is_mended_by_fix_alone(run: Run) -> None:
    refs.create("audit_old", run_id="run")
    refs.keep("audit_old", "check not_null failed")
    with borrow_connection() as conn:
        conn.execute("update lake_refs set created_at = created_at - interval '30 days' where base <> ''")
    for _ in range(2):  # examining changes nothing
        code, found = examine(run)
        assert (code, [*found]) == (1, ["branches"])
    code, found = examine(run, "--fix")
    assert (code, [f["fixed"] for f in found["branches"]]) == (0, [True])
    assert examine(run) == (0, {})
    assert [ref.name for ref in refs.list_refs()] == ["main"]


def location() -> str:
    with borrow_connection() as conn:
        return read_pointers(conn, "main")["raw.readings"]


def lose_a_data_file() -> None:
    next(Path(location().removeprefix("file://")).parents[1].rglob("*.parquet")).unlink()


def lose_the_metadata() -> None:
    Path(location().removeprefix("file://")).unlink()
    _parsed.clear()


def lose_an_alert() -> None:
    put(alert(1))
    with outbox() as connection:
        connection.execute(
            "insert into alert_deliveries (alert, action, channel, state)"
            " select id, 'tell', 'slack', 'abandoned' from alerts"
        )


def set_the_clock_back() -> None:
    with borrow_connection() as conn:
        conn.execute("update lake_ref_log set at = at + interval '2 hours'")


def open_a_breaker() -> None:
    for _ in range(20):
        breaker.record_failure("https://a.example:443", SourceUnreachable("HTTP 503"), "a", [])


def lose_a_backfill() -> None:
    with databases().ops.connect() as connection:
        connection.execute(
            "insert into backfills"
            " (id, selection, ref, options, code, skipped, state, host, pid, pid_started)"
            " values ('1122_4f09ac', '*', 'main', '{}', '', 0, 'running', %s, 999999, 1)",
            (os.uname().nodename,),
        )


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        (lose_a_data_file, "lake", "table raw.readings lacks 1 files"),
        (lose_the_metadata, "lake", "table raw.readings lacks 1 files"),
        (lose_an_alert, "alerts", "was not delivered: slack abandoned"),
        (set_the_clock_back, "clock", "the clock was set back"),
        (open_a_breaker, "sources", "https://a.example:443"),
        (lose_a_backfill, "backfills", "backfill 1122_4f09ac lost its process"),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_a_person_has_to_decide_is_said_with_a_remedy_and_left_by_fix(
    run: Run, fault: Callable[[], None], check: str, words: str
) -> None:
    write({0: [1]})
    fault()
    for options in ((), ("--fix",)):
        code, found = examine(run, *options)
        assert (code, [*found]) == (1, [check])
        assert words in found[check][0]["what"]
        assert not found[check][0]["fixed"]


@pytest.mark.usefixtures("home")
def test_settings_and_a_full_disk_are_said(
    run: Run, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_checks, "_LEAST_FREE", 1 << 60)
    configure(start_date=dt.date(2049, 12, 31))
    code, found = examine(run)
    assert (code, [*found]) == (1, ["disk", "settings"])
    assert "free on the disk" in found["disk"][0]["what"]
    assert "there is no day to load" in found["settings"][0]["what"]


def test_a_folder_without_a_home_is_left_as_it_is(
    run: Run, configure: Callable[..., Settings], tmp_path: Path
) -> None:
    configure(home=tmp_path / "none")
    code, out, _ = run("doctor")
    assert code == 0
    assert "there is no home at" in out
    assert not (tmp_path / "none").exists()
