"""`millpond up` in a terminal: Ctrl-C ends it and leaves the data as it was; what cannot start is refused."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from background_parts import FREE_PORTS, READY_SECONDS, millpond, running_parts, status
from dagster import DagsterRunStatus

from fake_source import DAY, Answer, Entries, fake_source, reading
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.outbox import list_alerts
from millpond.alerts.routing import Routing
from millpond.instance.home import open_instance
from millpond.lake import read
from millpond.lake.home_zone import record_zone
from millpond.resources.run import JOB
from millpond.runtime.children import find_supervised
from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.runtime.processes import list_processes
from millpond.runtime.supervised_parts import dagster_url
from millpond.settings import Settings, process_environment, settings
from project_folders import sources_at
from source_tables import load_days
from waiting import until

LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  ... on LaunchRunSuccess { run { runId } } } }"""


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


def test_without_up_the_status_is_down_and_makes_nothing(
    configure: Callable[..., Settings], tmp_path: Path
) -> None:
    configured = configure(home=tmp_path / "nowhere")
    answer = millpond("status")
    assert answer.returncode == 1
    assert "`millpond up` is not running" in answer.stdout
    assert not configured.home.exists()


def test_ctrl_c_stops_everything(foreground: subprocess.Popen[str], own_home: Home) -> None:
    foreground.send_signal(signal.SIGINT)
    output, _ = foreground.communicate(timeout=60)
    assert foreground.returncode == 0
    assert output.splitlines()[-1].endswith("all parts are stopped")
    assert running_parts(own_home) == []


def test_after_a_killed_supervisor_down_leaves_nothing(
    foreground: subprocess.Popen[str], own_home: Home
) -> None:
    foreground.kill()
    foreground.wait()
    assert millpond("down").returncode == 0
    assert running_parts(own_home) == []


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
        assert (process.returncode, running_parts(own_home)) == (0, []), output
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
    assert f"port {port} of {variable} is in use by process {os.getpid()}" in answer.stderr
    assert running_parts(own_home) == []
