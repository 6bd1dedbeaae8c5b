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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import requests

from millpond.alerts.links import runbook_page
from millpond.resources.instance import instance
from millpond.runtime.children import supervised
from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.runtime.postmaster import found
from millpond.runtime.processes import running, start_time
from millpond.settings import Settings, process_environment, settings

PARTS = ["postgres", "catalog", "demo-source", "code-server", "webserver", "daemon", "alerts"]
FREE_PORTS = {"MILLPOND_DAGSTER_PORT": "0", "MILLPOND_CATALOG_PORT": "0"}
READY_SECONDS = 240.0
KILLED = """
import os, signal
import dagster as dg
from millpond.resources.instance import instance

@dg.asset(pool="narrow")
def killed():
    os.kill(os.getpid(), signal.SIGKILL)

with instance() as recorded:
    dg.materialize([killed], instance=recorded, tags={"test": "killed before up"})
"""


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


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def left(home: Home) -> list[object]:
    return [*supervised(home), *(p for p in running(home) if p.name != "up"), *filter(None, [found(home)])]


@pytest.fixture(scope="module")
def up() -> Iterator[Home]:
    """The home of this test process with `millpond up` running for it, in which a run was killed before."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED], env=process_environment(), check=False)
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


@pytest.fixture
def foreground(own_home: Home) -> Iterator[subprocess.Popen[str]]:
    """`millpond up` in a terminal of its own, as far as having started a child."""
    with subprocess.Popen(
        [sys.executable, "-m", "millpond.cli.main", "up"],
        env=process_environment(**FREE_PORTS),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        until(lambda: len(supervised(own_home)) >= 3)
        yield process
        process.kill()


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
    with instance() as recorded:
        (run,) = recorded.get_runs(dg.RunsFilter(tags={"test": "killed before up"}))
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert recorded.event_log_storage.get_concurrency_info("narrow").active_slot_count == 0


def test_a_second_up_is_refused_and_told_where_the_first_is(up: Home) -> None:
    shown = status()
    answer = millpond("up")
    assert answer.returncode == 2
    assert f"process {shown['supervisor']['pid']}" in answer.stderr
    assert next(p["address"] for p in shown["parts"] if p["name"] == "webserver") in answer.stderr
    assert status()["up"] is True


def test_nothing_listens_beyond_loopback(up: Home) -> None:
    ours = {process.pid for process in supervised(up)} | {part["pid"] for part in status()["parts"]}
    listening = [
        c for c in psutil.net_connections("inet") if c.pid in ours and c.status == psutil.CONN_LISTEN
    ]
    assert len({c.laddr.port for c in listening}) == 4  # Postgres, catalog, demo source, web pages
    assert [c for c in listening if not ipaddress.ip_address(c.laddr.ip).is_loopback] == []


def test_the_token_of_the_catalog_is_for_its_owner_only(up: Home) -> None:
    assert (up.run / "catalog.token").stat().st_mode & 0o777 == 0o600


def test_each_part_that_is_killed_comes_back(up: Home) -> None:
    before = {part["name"]: part["pid"] for part in status()["parts"]}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: status()["up"], READY_SECONDS)
    for part in status()["parts"]:
        assert part["pid"] != before[part["name"]]
        assert part["restarts"] == 1


def test_down_from_elsewhere_stops_all_and_names_it(up: Home) -> None:
    shown = status()
    answer = millpond("down")
    assert answer.returncode == 0
    for name in ["up", *PARTS]:
        assert f"stopped {name} " in answer.stdout
    assert start_time(shown["supervisor"]["pid"]) is None
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
