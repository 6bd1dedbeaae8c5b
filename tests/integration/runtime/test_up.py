"""`millpond up` runs every part, brings back what dies, refuses what cannot be, and leaves nothing behind."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import requests
from dagster import DagsterRunStatus

from fake_source import DAY, Answer, Entries, fake_source, reading
from millpond.alerts.commands import list_alerts
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.message import runbook_page
from millpond.alerts.routing import Routing
from millpond.instance.home import open_instance
from millpond.lake import read
from millpond.lake.home_zone import record_zone
from millpond.resources.run import JOB
from millpond.runtime.children import find_supervised
from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import list_processes, start_time
from millpond.runtime.status import report
from millpond.runtime.supervised_parts import dagster_url
from millpond.settings import Settings, process_environment, settings
from processes import exit_code
from project_folders import sources_at
from source_tables import load_days

PARTS = ["postgres", "catalog", "code-server", "webserver", "daemon", "alerts"]
FREE_PORTS = {"MILLPOND_DAGSTER_PORT": "0", "MILLPOND_CATALOG_PORT": "0"}
READY_SECONDS = 240.0
LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  ... on LaunchRunSuccess { run { runId } } } }"""


@dg.asset(pool="narrow")
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_a_run() -> None:
    with open_instance() as recorded:
        dg.materialize([killed], instance=recorded, tags={"test": "killed before up"})


def millpond(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", *arguments],
        env=process_environment(**{**FREE_PORTS, **environment}),
        capture_output=True,
        text=True,
        timeout=READY_SECONDS + 30,
        check=False,
    )


def status() -> dict[str, Any]:
    answer = millpond("status", "--json")
    shown: dict[str, Any] = json.loads(answer.stdout)
    assert (answer.returncode == 0) == shown["up"]
    return shown


def until(condition: Callable[[], bool], seconds: float = 30.0, every: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every)


def left(home: Home) -> list[object]:
    return [
        *find_supervised(home),
        *(p for p in list_processes(home) if p.name != "up"),
        *filter(None, [find_server(home)]),
    ]


@pytest.fixture(scope="module")
def up() -> Iterator[Home]:
    """The home of this test process with `millpond up` running for it, in which a run was killed before."""
    assert exit_code(kill_a_run) == -signal.SIGKILL
    answer = millpond("up", "--detach")
    assert answer.returncode == 0, answer.stderr
    yield layout(settings())
    down(settings())


@pytest.fixture
def own_home(configure: Callable[..., Settings], tmp_path: Path) -> Iterator[Home]:
    """A home in which nothing ever ran."""
    folder = settings().home.parent / tmp_path.name
    configured = configure(home=folder)
    yield layout(configured)
    down(configured)
    shutil.rmtree(folder)


@contextmanager
def up_in_the_foreground(own_home: Home) -> Iterator[subprocess.Popen[str]]:
    """Run `millpond up` in a terminal of its own; goes on when it has started a few parts."""
    with subprocess.Popen(
        [sys.executable, "-m", "millpond.cli.main", "up"],
        env=process_environment(**FREE_PORTS),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        until(lambda: len(find_supervised(own_home)) >= 3)
        yield process
        process.kill()


@pytest.fixture
def foreground(own_home: Home) -> Iterator[subprocess.Popen[str]]:
    with up_in_the_foreground(own_home) as process:
        yield process


def test_every_part_is_up_with_its_address_process_and_log(up: Home) -> None:
    shown = status()
    assert shown["up"] is True
    assert (shown["home"], shown["profile"], shown["ref"]) == (str(up.root), "embedded", "main")
    assert [part["name"] for part in shown["parts"]] == PARTS
    assert {part["state"] for part in shown["parts"]} == {"up"}
    for part in shown["parts"]:
        assert psutil.pid_exists(part["pid"])
        assert part["since"].endswith("+00:00")
        assert Path(part["log"]).exists()
        assert part["restarts"] == 0
    assert "all parts are up" in (up.logs / "up.log").read_text()


def test_the_links_of_alerts_open(up: Home) -> None:
    answer = requests.get(runbook_page("run_failed").partition("#")[0], timeout=30)
    assert (answer.status_code, '<h2 id="run_failed">' in answer.text) == (200, True)


def test_a_run_that_was_killed_before_is_closed_and_holds_no_slot(up: Home) -> None:
    with open_instance() as recorded:
        (run,) = recorded.get_runs(dg.RunsFilter(tags={"test": "killed before up"}))
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert recorded.event_log_storage.get_concurrency_info("narrow").active_slot_count == 0


def test_a_second_up_is_refused_and_told_where_the_first_is(up: Home) -> None:
    shown = report(settings())
    assert shown.supervisor
    answer = millpond("up")
    assert answer.returncode == 2
    assert f"process {shown.supervisor.pid}" in answer.stderr
    assert next(part.address for part in shown.parts if part.name == "webserver") in answer.stderr
    assert report(settings()).is_up


def test_nothing_listens_beyond_loopback(up: Home) -> None:
    ours = {process.pid for process in find_supervised(up)} | {part.pid for part in report(settings()).parts}
    listening = [
        c for c in psutil.net_connections("inet") if c.pid in ours and c.status == psutil.CONN_LISTEN
    ]
    assert len({c.laddr.port for c in listening}) == 3  # Postgres, catalog, web pages
    assert [c for c in listening if not ipaddress.ip_address(c.laddr.ip).is_loopback] == []


def test_the_token_of_the_catalog_is_for_its_owner_only(up: Home) -> None:
    assert (up.run / "catalog.token").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_each_part_that_is_killed_comes_back(up: Home) -> None:
    before = {part.name: part.pid for part in report(settings()).parts}
    for pid in before.values():
        assert pid
        os.kill(pid, signal.SIGKILL)
    until(lambda: report(settings()).is_up, READY_SECONDS, every=0.5)
    for part in status()["parts"]:
        assert part["pid"] != before[part["name"]]
        assert part["restarts"] == 1


def test_down_from_elsewhere_stops_all_and_names_it(up: Home) -> None:
    supervisor = report(settings()).supervisor
    assert supervisor
    answer = millpond("down")
    assert answer.returncode == 0
    for name in ["up", *PARTS]:
        assert f"stopped {name} " in answer.stdout
    assert start_time(supervisor.pid) is None
    assert left(up) == []
    after = status()
    assert (after["up"], after["supervisor"]) == (False, None)
    assert {part["state"] for part in after["parts"]} == {"down"}


def test_without_up_the_status_is_down_and_makes_nothing(
    configure: Callable[..., Settings], tmp_path: Path
) -> None:
    configured = configure(home=tmp_path / "nowhere")
    answer = millpond("status")
    assert answer.returncode == 1
    assert "`millpond up` does not run" in answer.stdout
    assert not configured.home.exists()


def test_ctrl_c_stops_everything(foreground: subprocess.Popen[str], own_home: Home) -> None:
    foreground.send_signal(signal.SIGINT)
    output, _ = foreground.communicate(timeout=60)
    assert foreground.returncode == 0
    assert output.splitlines()[-1].endswith("all parts are stopped")
    assert left(own_home) == []


def test_after_a_killed_supervisor_down_leaves_nothing(
    foreground: subprocess.Popen[str], own_home: Home
) -> None:
    foreground.kill()
    foreground.wait()
    assert millpond("down").returncode == 0
    assert left(own_home) == []


def test_a_home_of_another_time_zone_is_refused(own_home: Home) -> None:
    record_zone()
    answer = millpond("up", MILLPOND_TIMEZONE="Asia/Kathmandu")
    assert answer.returncode == 2
    assert "set MILLPOND_TIMEZONE=UTC again" in answer.stderr
    assert not [*find_supervised(own_home), *list_processes(own_home)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ctrl_c_in_an_automatic_run_is_a_stop_and_leaves_the_data_as_it_was(
    own_home: Home, ctrl_c: None
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked.set()
        over.wait()

    with fake_source() as source, sources_at(source.url):
        source.serve = Entries([reading(n) for n in range(40)])
        assert not load_days(DAY).failed
        automatic = {
            "selector": {
                "repositoryLocationName": "millpond",
                "repositoryName": "__repository__",
                "jobName": JOB,
                "assetSelection": [{"path": ["dlt_climate_entries"]}],
            },
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(DAY)}]},
        }
        with up_in_the_foreground(own_home) as process:
            until(lambda: status()["up"], READY_SECONDS)
            assert millpond("automation", "pause").returncode == 0
            source.serve = lambda request: Answer(raw=hang) if "entries" in request.path else Answer()
            body = {"query": LAUNCH, "variables": {"params": automatic}}
            answer = requests.post(f"{dagster_url(settings())}/graphql", json=body, timeout=60)
            assert asked.wait(READY_SECONDS), answer.text
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=120)
        over.set()
        assert (process.returncode, left(own_home)) == (0, []), output
        with open_instance() as recorded:
            run = recorded.get_run_by_id(answer.json()["data"]["launchRun"]["run"]["runId"])
            assert run
            assert run.status == DagsterRunStatus.CANCELED
            find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts())
        alerts = [alert for alert, _ in list_alerts(everything=True, kind=None, limit=99)]
        of_the_run = [(alert.kind, alert.is_open) for alert in alerts if alert.run_id == run.run_id]
        assert of_the_run == [("run_stopped", False)]
        assert read.count("main", "raw.climate_entries") == 40
        source.serve = Entries([reading(n) for n in range(41)])
        again = millpond("materialize", "dlt_climate_entries", "--partition", str(DAY))
        assert again.returncode == 0, again.stdout + again.stderr
        assert read.count("main", "raw.climate_entries") == 41


@pytest.mark.parametrize(
    "variable", ["MILLPOND_DAGSTER_PORT", "MILLPOND_CATALOG_PORT", "MILLPOND_POSTGRES_PORT"]
)
def test_a_taken_port_is_refused_with_its_holder_and_the_setting(own_home: Home, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        answer = millpond("up", **{variable: str(port)})
    assert answer.returncode == 2
    assert f"port {port}, asked for by {variable}, is taken by process {os.getpid()}" in answer.stderr
    assert left(own_home) == []
