"""Every command that prints a table fits terminals of 80 and 140 columns, and loses no value there."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fake_source import Answer, Entries, FakeSource, fake_source, reading
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.routing import Routing
from millpond.backfill import ledger
from millpond.backfill.planner import make_plan
from millpond.errors import SourceUnreachable
from millpond.ingestion import breaker
from millpond.ingestion.load import load
from millpond.instance.home import open_instance
from millpond.lake import refs
from millpond.partitions import Window
from millpond.settings import Settings, settings
from source_tables import table_of

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("clock")
TODAY = dt.datetime.now(dt.UTC).date()  # alerts are found of the last days only
DAYS = [TODAY - dt.timedelta(days=n) for n in (3, 2, 1)]
CHAIN = "dlt_climate_entries*"
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_SHOWN = {
    "tables": ("table",),
    "sources list": ("source", "host"),
    "sources held": ("day",),
    "branch list": ("name",),
    "alerts list": ("id",),
    "backfill list": ("id", "selection", "days"),
    "automation list": ("name",),
    "config show": ("setting",),
    "catalog tokens": ("id", "name", "ref"),
}
"""Keys of the JSON whose values stand in the table as they are."""
COMMANDS = [
    *_SHOWN,
    "sql select * from raw.climate_entries limit 3",
    "sql select * from gold.fct_daily_climate_metrics",
    "sql select * from marts.mrt_climate_overview",
    "alerts list --all",
    "alerts show {alert}",
    "automation preview --at 06:00",
    f"backfill * --start-date {DAYS[0]} --end-date {DAYS[-1]} --dry-run",
    "backfill show {backfill}",
    "branch show dev",
    "branch diff dev",
    "env",
    "maintain --dry-run",
    "history",
    "undo {commit}",
    "tables history raw.climate_entries",
    "doctor",
    f"reconcile --partition {DAYS[0]}",
    f"wipe {CHAIN} --partition {DAYS[0]}",
    "status",
]


@pytest.fixture
def filled(home: object, configure: Callable[..., Settings], run: Run) -> dict[str, str]:
    """Fill a home: days in every layer, a failed and a held one, alerts, a branch, a pause, a backfill.

    Returns what stands for the names in commands.
    """
    with fake_source() as source:
        configure(greenhouse_url=source.url)
        serve(source, 40, 40, 40)
        code, out, err = run("materialize", CHAIN, "--range", f"{DAYS[0]}...{DAYS[-1]}")
        assert code == 0, out + err
        refs.create("dev", purpose="another formula for the share of time in range, tried on three days")
        serve(source, 41, 41, 41)
        spec, table = table_of("climate_entries")
        assert not load(spec, table, Window.of_days(DAYS[0], DAYS[1]), ref="dev", run_id="run-1").failed
        serve(source, 40, 40, 0)
        assert run("materialize", "dlt_climate_entries", "-p", str(DAYS[2]))[0] == 1
        source.serve = lambda _: Answer(b"no", status=403)
        assert run("materialize", "dlt_climate_entries", "-p", str(DAYS[1]))[0] == 1
    breaker.record_failure("https://iot.example.org:443", SourceUnreachable("HTTP 503"), "greenhouse", [])
    from millpond.definitions import defs

    with open_instance() as recorded:
        find_alerts(recorded, settings(), Routing(late_after_days=2), AssetFacts())
        plan = make_plan(CHAIN, DAYS, instance=recorded, definitions=defs, ref="main", force=True)
    backfill = ledger.create(plan, {})
    ledger.end(backfill, ledger.BackfillState.INTERRUPTED, 0.0)
    assert run("automation", "pause")[0] == 0
    assert run("catalog", "token", "--name", "a dashboard with a name of many words", "--ref", "dev")[0] == 0
    alert, *_ = json.loads(run("alerts", "list", "--json")[1])
    commit, *_ = json.loads(run("history", "--json")[1])
    return {"alert": str(alert["id"]), "backfill": backfill, "commit": commit["id"]}


def serve(source: FakeSource, *counts: int) -> None:
    by_day = zip(DAYS, counts, strict=True)
    source.serve = Entries([reading(n, day) for day, count in by_day for n in range(count)])


def words(command: str, names: dict[str, str]) -> list[str]:
    first, *rest = command.format(**names).split(" ", 1)
    return [first, *rest] if first == "sql" else command.format(**names).split()


def too_long(out: str, width: int) -> list[str]:
    """Return the lines that do not fit, but for those outside of frames that hold a long word or a command.

    Those are left to the terminal, which breaks them without a line end: they can be copied whole.
    """

    def is_whole(line: str) -> bool:
        return "millpond " in line or max(map(len, line.split())) >= width // 2

    lines = [line.rstrip() for line in out.splitlines()]
    return [line for line in lines if len(line) > width and (set("│┃━─") & set(line) or not is_whole(line))]


def as_json(run: Run, command: list[str]) -> Any:
    code, out, err = run(*command, "--json")
    assert code in (0, 1), (command, err)
    return json.loads(out)


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 140])
def test_tables_fit_the_terminal_and_hold_each_value_whole(
    filled: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    found = {command: as_json(run, words(command, filled)) for command in COMMANDS}
    shown = {command: len(found[command]) for command in _SHOWN if command != "config show"}
    assert all(shown.values()), shown
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    wrong = []
    for command in COMMANDS:
        code, out, err = run(*words(command, filled))
        plain = _STYLES.sub("", out)
        if code not in (0, 1) or not plain.strip():
            wrong.append(f"{command}: exit {code} {err}")
        wrong += [f"{command}: {line}" for line in too_long(plain, width)]
        if command not in ("config show", "doctor") and re.search(r"\w…", plain):
            wrong.append(f"{command}: a value is cut")
        values = [str(row[key]) for key in _SHOWN.get(command, ()) for row in found[command] if row[key]]
        wrong += [f"{command} lacks {value}" for value in values if value not in plain]
    assert not wrong, "\n".join(wrong)
