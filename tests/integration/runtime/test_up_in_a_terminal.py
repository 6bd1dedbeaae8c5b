"""`millpond up` in a terminal: Ctrl-C ends it and leaves the data as it was; what cannot start is refused."""

from __future__ import annotations

import json
import os
import re
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
from dagster import DagsterEventType, DagsterRunStatus

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
from millpond.runtime.processes import list_processes, start_time
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
def up_in_the_foreground(own_home: Home, parts: int = 3) -> Iterator[subprocess.Popen[str]]:
    """Run `millpond up` in a terminal of its own; goes on when it has started a few parts."""
    with subprocess.Popen(
        [sys.executable, "-m", "millpond.cli.main", "up"],
        env=process_environment(**FREE_PORTS),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            until(lambda: len(find_supervised(own_home)) >= parts)
            yield process
        finally:
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


def test_while_parts_start_the_status_says_that_and_no_error(own_home: Home) -> None:
    """From the first moment on, in an empty home."""
    with up_in_the_foreground(own_home, parts=0) as foreground:
        said, states = "", set[str]()
        while not (shown := json.loads(millpond("status", "--json").stdout))["up"]:
            if shown["supervisor"]:
                states |= {part["state"] for part in shown["parts"]}
            answer = millpond("status")
            assert answer.stderr == ""
            said += answer.stdout
        assert states <= {"starting", "up"}
        assert "starting" in states
        assert re.findall(r".*(?:Errno|rror|refused|failed|does not exist).*", said) == []
        foreground.send_signal(signal.SIGINT)
        foreground.communicate(timeout=60)


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


def launch_day() -> str:
    """Launch a run of the day as sensors do; returns its id."""
    params = {
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
    body = {"query": LAUNCH, "variables": {"params": params}}
    answer = requests.post(f"{dagster_url(settings())}/graphql", json=body, timeout=60)
    return str(answer.json()["data"]["launchRun"]["run"]["runId"])


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
        with up_in_the_foreground(own_home) as process:
            until(lambda: status()["up"], READY_SECONDS)
            assert millpond("automation", "pause").returncode == 0
            source.serve = lambda request: Answer(raw=hang) if "entries" in request.path else Answer()
            launched = launch_day()
            assert asked.wait(READY_SECONDS)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=120)
        over.set()
        assert (process.returncode, running_parts(own_home)) == (0, []), output
        with open_instance() as recorded:
            run = recorded.get_run_by_id(launched)
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


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_exceeds_its_maximum_runtime_is_ended_and_leaves_the_data_as_it_was(
    own_home: Home, record_property: Callable[..., None]
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        asked.set()
        over.wait()

    with fake_source() as source, sources_at(source.url), up_in_the_foreground(own_home) as process:
        source.serve = Entries([reading(n) for n in range(40)])
        assert not load_days(DAY).failed
        until(lambda: status()["up"], READY_SECONDS)
        assert millpond("automation", "pause").returncode == 0
        source.serve = lambda request: Answer(raw=hang) if "entries" in request.path else Answer()
        launched = launch_day()
        ended = [exceed_maximum_runtime(launched, asked)]
        asked.clear()
        command = subprocess.Popen(
            [sys.executable, "-m", "millpond.cli.main", "materialize", "dlt_climate_entries", "-p", str(DAY)],
            env=process_environment(**FREE_PORTS),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert asked.wait(READY_SECONDS)
        with open_instance() as recorded:
            (typed,) = [run.run_id for run in recorded.get_runs() if run.status == DagsterRunStatus.STARTED]
        try:
            ended.append(exceed_maximum_runtime(typed, asked))
        finally:
            command.kill()
        output, _ = command.communicate(timeout=120)
        assert command.returncode not in (0, -signal.SIGKILL), output
        over.set()
        assert read.count("main", "raw.climate_entries") == 40
        source.serve = Entries([reading(n) for n in range(41)])
        again = millpond("materialize", "dlt_climate_entries", "--partition", str(DAY))
        assert again.returncode == 0, again.stdout + again.stderr
        assert read.count("main", "raw.climate_entries") == 41
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    with open_instance() as recorded:
        find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts())
    alerts = [alert for alert, _ in list_alerts(everything=True, kind="run_%", limit=99)]
    told = [alert for alert in alerts if "dlt_climate_entries" in alert.assets]
    assert {(alert.kind, alert.assets) for alert in told} == {("run_failed", ("dlt_climate_entries",))}
    assert sum(alert.times for alert in told) == 2, "one alert twice, or two if the first is closed before"
    record_property("seen", ended[0])


def exceed_maximum_runtime(run_id: str, asked: threading.Event) -> str:
    """Lower the limit of a run that hangs, wait until it has failed and its process is gone; returns why."""
    assert asked.wait(READY_SECONDS)
    with open_instance() as recorded:
        recorded.add_run_tags(run_id, {"dagster/max_runtime": "1"})
        (began,) = recorded.get_records_for_run(run_id, of_type=DagsterEventType.RUN_START).records
        until(lambda: recorded.get_run_by_id(run_id).is_finished, 120, every=0.5)
        until(lambda: start_time(began.event_log_entry.dagster_event.pid) is None, 60, every=0.5)
        assert recorded.get_run_by_id(run_id).status == DagsterRunStatus.FAILURE
        assert recorded.event_log_storage.get_concurrency_run_ids() == set()
        (failed,) = recorded.get_records_for_run(run_id, of_type=DagsterEventType.RUN_FAILURE).records
        return str(failed.event_log_entry.message)


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
