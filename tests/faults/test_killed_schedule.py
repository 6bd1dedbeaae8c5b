"""What runs for a schedule is killed at random: its rows are those of an oracle, a failure is told once."""

from __future__ import annotations

import datetime as dt
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from alerting import FAST, OPEN, UNROUTED
from fake_source import Answer, Entries, FakeSource, fake_source, reading
from millpond.alerts.outbox import outbox
from millpond.instance.home import open_instance
from millpond.lake import read
from millpond.runtime.children import find_supervised
from millpond.runtime.databases import databases
from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.runtime.postmaster import find_server
from millpond.settings import Settings, process_environment, settings
from project_folders import make_project
from receivers import Web, web
from waiting import until

CANARY = "canary-8f1b2c7d4e"
YESTERDAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
DAYS = (YESTERDAY - dt.timedelta(days=1), YESTERDAY)
PARTS = {
    "grpc": "code server",
    "millpond.instance.code_server": "code server",
    "dagster_webserver": "web pages",
    "millpond.instance.daemon": "daemon",
    "millpond.alerts": "dispatcher",
    "rest_app": "catalog",
}
"""What of a command line tells which part it is."""
FORKS = "multiprocessing.forkserver"
"""In the command line of the process that runs are forked from, and so in theirs."""
RUN, RUN_SECONDS, RUN_SHARE = "run", 20.0, 0.4
"""Of so many kills, one waits for a run, so long."""


class Source:
    """A greenhouse that sends readings of two days, one after another, and knows what each day has."""

    def __init__(self, served: FakeSource) -> None:
        self.rows: list[dict[str, Any]] = []
        entries = Entries(self.rows)
        served.serve = lambda request: entries(request) if "entries" in request.path else Answer()

    def send(self) -> None:
        """Have one more reading on each day."""
        number = len(self.rows) // len(DAYS)
        for day in DAYS:
            slot = reading(0, day)["date"] + number * 7_000
            self.rows.append(reading(number, day, date=slot, lux=100 + (7 * number) % 80))

    def expect(self) -> dict[str, dict[dt.date, Any]]:
        """Return what each table must hold of each day, counted here and by nothing of Millpond."""
        held = {day: [row for row in self.rows if row["_id"].startswith(f"{day:%Y%m%d}")] for day in DAYS}
        ids = {day: sorted(row["_id"] for row in rows) for day, rows in held.items()}
        sums = {day: (len(rows), sum(row["lux"] for row in rows)) for day, rows in held.items()}
        return {
            "raw.climate_entries": ids,
            "silver.fct_climate_readings": ids,
            "gold.fct_daily_climate_metrics": sums,
            "marts.mrt_climate_overview": {day: number for day, (number, _) in sums.items()},
        }


def look() -> dict[str, dict[dt.date, Any]]:
    """Return the same of the lake and the marts, as they are."""
    found: dict[str, dict[dt.date, Any]] = {}
    for name, key, day in (
        ("raw.climate_entries", "_id", "_partition_date"),
        ("silver.fct_climate_readings", "entry_id", "reading_date"),
    ):
        found[name] = {}
        for row in read.scan("main", name).to_pylist() if name in read.list_tables("main") else []:
            found[name].setdefault(row[day], []).append(row[key])
    daily = "gold.fct_daily_climate_metrics"
    rows = read.scan("main", daily).to_pylist() if daily in read.list_tables("main") else []
    found[daily] = {row["reading_date"]: (row["reading_count"], row["lux_sum"]) for row in rows}
    with databases().marts_readonly.connect() as connection:
        published = connection.execute(
            "select reading_date, reading_count from marts.mrt_climate_overview"
        ).fetchall()
    found["marts.mrt_climate_overview"] = dict(published)
    return {
        name: {day: sorted(held) if isinstance(held, list) else held for day, held in days.items()}
        for name, days in found.items()
    }


def ask(statement: str) -> list[dict[str, Any]]:
    with outbox() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


class Running:
    """`millpond up` of a home, begun again whenever it was killed itself."""

    def __init__(self, home: Home, log: Path) -> None:
        self.home, self.log, self.killed = home, log, Counter[str]()
        self.process = self.begin()

    def begin(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "millpond.cli.main", "up"],
                env=process_environment(MILLPOND_DAGSTER_PORT="0", MILLPOND_CATALOG_PORT="0"),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def find_victims(self) -> dict[str, list[psutil.Process]]:
        """Return what runs for the home, by part."""
        found = {"up": [psutil.Process(self.process.pid)]}
        if server := find_server(self.home):
            found["Postgres"] = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
        for process in find_supervised(self.home):
            with suppress(psutil.Error):
                found.setdefault(_name_part(process), []).append(process)
        return found

    def kill(self, chance: random.Random) -> None:
        """Kill one process of one part, whichever it is; now and then, wait for a run and kill that."""
        if self.process.poll() is not None:  # it gives up if Postgres recovers for more than a minute
            self.killed["up, by itself"] += 1
            self.process = self.begin()
        with suppress(psutil.NoSuchProcess):
            victims = self.find_victims()
            part = chance.choice(sorted(victims))
            if chance.random() < RUN_SHARE:
                deadline = time.monotonic() + RUN_SECONDS
                while RUN not in (victims := self.find_victims()) and time.monotonic() < deadline:
                    time.sleep(0.1)
                part = RUN if RUN in victims else chance.choice(sorted(victims))
                time.sleep(chance.uniform(0, 3))
            chance.choice(victims[part]).kill()
            self.killed[part] += 1
            if part == "up":
                self.process.wait()
                self.process = self.begin()


def _name_part(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    if FORKS in words:
        parent = process.parent()
        return RUN if parent and FORKS in " ".join(parent.cmdline()) else "fork server"
    return next((name for text, name in PARTS.items() if text in words), "another")


@pytest.fixture
def hook() -> Iterator[Web]:
    with web() as service:
        yield service


@pytest.fixture
def source(hook: Web, configure: Callable[..., Settings], tmp_path: Path) -> Iterator[Source]:
    """A source and a project of its own in a home in which nothing ever ran."""
    folder = settings().home.parent / tmp_path.name
    (tmp_path / "alerts.yaml").write_text(
        FAST.replace("slack, email, pagerduty, jira, webhook, apprise", "webhook")
    )
    with fake_source() as served:
        folder.mkdir()
        make_project(folder / "project", served.url)
        spec = folder / "project" / "sources" / "greenhouse.yaml"
        news = "news: { every: 5m, days: 2, rows: 1 }"
        assert news in spec.read_text()
        spec.write_text(spec.read_text().replace(news, "news: { every: 10s, days: 3, rows: 1000 }"))
        configured = configure(
            project=folder / "project",
            home=folder / "home",
            alerts_file=tmp_path / "alerts.yaml",
            greenhouse_token=CANARY,
            webhook_url=hook.url,
        )
        yield Source(served)
        down(configured)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("kills", "seed"), [(10, 19), pytest.param(100, 1119, marks=pytest.mark.exhaustive)])
def test_a_schedule_whose_processes_are_killed_at_random_leaves_what_an_oracle_says_and_one_alert_a_failure(
    source: Source, hook: Web, tmp_path: Path, kills: int, seed: int, record_property: Callable[..., None]
) -> None:
    home, chance = layout(settings()), random.Random(seed)
    running = Running(home, tmp_path / "up.log")
    try:
        until(lambda: "all parts are up" in running.log.read_text(), 240, every=0.5)
        while running.killed.total() < kills:
            source.send()
            time.sleep(chance.uniform(0, 6))
            running.kill(chance)
        source.send()
        until(lambda: _is_as(source), 900, every=2)
        until(_is_quiet, 900, every=1)
        _check_alerts(hook)
    finally:
        print(f"seed {seed}: {dict(running.killed)}")
        down(settings())
        running.process.wait(60)
    parts = ", ".join(f"{n} × {part}" for part, n in running.killed.most_common())
    record_property(
        "seen",
        f"{kills} processes killed ({parts}), {len(source.rows)} rows in 4 tables as the oracle counts them,"
        f" {len(_failed_runs())} runs failed and were told once",
    )
    before = look()
    days = f"{DAYS[0]}...{DAYS[1]}"
    command = [sys.executable, "-m", "millpond.cli.main", "materialize", "dlt_climate_entries*"]
    again = subprocess.run(
        [*command, "--partition", days],
        env=process_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert look() == before == source.expect()
    down(settings())
    assert _files_with(CANARY, home.root) == []
    assert CANARY not in str(hook.taken)


def _is_as(source: Source) -> bool:
    with suppress(Exception):  # what was killed is not back yet
        return look() == source.expect()
    return False


def _failed_runs() -> set[str]:
    """Return the events that say so in Dagster."""
    with open_instance() as recorded:
        found = recorded.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1000)
    return {f"event:{record.storage_id}" for record in found.records}


def _is_quiet() -> bool:
    """Return whether no run is at work, and each failure has been found and told."""
    told = {row["source"] for row in ask("select source from alert_sources where source like 'event:%'")}
    return _failed_runs() <= told and not ask(UNROUTED) and not ask(OPEN)


def _check_alerts(hook: Web) -> None:
    (counted,) = ask("select coalesce(sum(times), 0) as n from alerts where source like 'event:%'")
    (events,) = ask("select count(*) as n from alert_sources where source like 'event:%'")
    assert counted["n"] == events["n"] >= len(_failed_runs())
    seen = Counter(message["message"] for message in hook.taken)
    sent = ask("select count(distinct message) as n from alert_deliveries where channel = 'webhook'")
    assert len(seen) == sent[0]["n"]
    assert seen.total() - len(seen) <= sum(message["repeat"] for message in hook.taken)


def _files_with(text: str, folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text.encode() in file.read_bytes()]
