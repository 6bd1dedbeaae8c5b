"""`millpond up` in the background: every part runs and comes back, and `millpond down` stops all."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
import requests
from background_parts import READY_SECONDS, millpond, running_parts, status

from millpond.alerts.message import runbook_page
from millpond.instance.home import open_instance
from millpond.runtime.children import find_supervised
from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.runtime.processes import start_time
from millpond.runtime.status import read_status
from millpond.settings import settings
from processes import exit_code
from waiting import until

PARTS = ["postgres", "catalog", "code-server", "webserver", "daemon"]
PARTS += ["run-server", "command-server", "alerts"]


@dg.asset(pool="narrow")
def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_a_run() -> None:
    with open_instance() as recorded:
        dg.materialize([killed], instance=recorded, tags={"test": "killed before up"})


def is_whole() -> bool:
    """Return whether each part is up, also those that nothing waits for."""
    return {part.state for part in read_status(settings()).parts} == {"up"}


@pytest.fixture(scope="module")
def up() -> Iterator[Home]:
    """The home of this test process with `millpond up` running for it, in which a run was killed before."""
    assert exit_code(kill_a_run) == -signal.SIGKILL
    answer = millpond("up", "--detach")
    assert answer.returncode == 0, answer.stderr
    until(is_whole, READY_SECONDS, every=0.5)
    yield layout(settings())
    down(settings())


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
    told = (up.logs / "up.log").read_text().splitlines()
    assert "all parts are up after" in told[-1]
    assert [name for name in PARTS if not any(f" {name} is up" in line for line in told)] == []


def test_no_log_has_colours(up: Home) -> None:
    assert (up.logs / "code-server.log").read_text()
    assert [log.name for log in up.logs.glob("*.log") if b"\x1b" in log.read_bytes()] == []


def test_the_links_of_alerts_open(up: Home) -> None:
    answer = requests.get(runbook_page("run_failed").partition("#")[0], timeout=30)
    assert (answer.status_code, '<h2 id="run_failed">' in answer.text) == (200, True)


def test_documentation_and_metrics_are_served_with_the_pages(up: Home) -> None:
    named = json.loads(millpond("env", "--json").stdout)
    assert ">Runbook</a>" in requests.get(named["docs_url"], timeout=30).text
    assert "/docs/" in requests.get(f"{named['docs_url']}tour.md", timeout=30).text
    assert requests.get(f"{named['docs_url']}nowhere", timeout=30).status_code == 404
    metrics = requests.get(named["metrics_url"], timeout=30)
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'millpond_part_up{part="daemon"} 1' in metrics.text.splitlines()


def test_a_run_that_was_killed_before_is_closed_and_holds_no_slot(up: Home) -> None:
    with open_instance() as recorded:
        (run,) = recorded.get_runs(dg.RunsFilter(tags={"test": "killed before up"}))
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert recorded.event_log_storage.get_concurrency_info("narrow").active_slot_count == 0


def test_a_second_up_is_refused_and_told_where_the_first_is(up: Home) -> None:
    shown = read_status(settings())
    assert shown.supervisor
    answer = millpond("up")
    assert answer.returncode == 2
    assert f"process {shown.supervisor.pid}" in answer.stderr
    assert next(part.address for part in shown.parts if part.name == "webserver") in answer.stderr
    assert read_status(settings()).is_up


def test_nothing_listens_beyond_loopback(up: Home) -> None:
    ours = {process.pid for process in find_supervised(up)} | {
        part.pid for part in read_status(settings()).parts
    }
    listening = [
        c for c in psutil.net_connections("inet") if c.pid in ours and c.status == psutil.CONN_LISTEN
    ]
    assert len({c.laddr.port for c in listening}) == 3  # Postgres, catalog, web pages
    assert [c for c in listening if not ipaddress.ip_address(c.laddr.ip).is_loopback] == []


def test_the_token_of_the_catalog_is_for_its_owner_only(up: Home) -> None:
    assert (up.run / "catalog.token").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_each_part_that_is_killed_comes_back(up: Home) -> None:
    before = {part.name: part.pid for part in read_status(settings()).parts}
    for pid in before.values():
        assert pid
        os.kill(pid, signal.SIGKILL)
    until(is_whole, READY_SECONDS, every=0.5)
    for part in status()["parts"]:
        assert part["pid"] != before[part["name"]]
        assert part["restarts"] == 1


@pytest.mark.slow
def test_a_code_server_whose_inner_process_is_killed_comes_back(up: Home) -> None:
    def find_code_server() -> psutil.Process:
        return psutil.Process(next(p.pid for p in read_status(settings()).parts if p.name == "code-server"))

    until(lambda: read_status(settings()).is_up, READY_SECONDS, every=0.5)
    outer = find_code_server()
    (inner,) = [child for child in outer.children() if "grpc" in child.cmdline()]
    inner.kill()
    until(lambda: not outer.is_running() and read_status(settings()).is_up, READY_SECONDS, every=0.5)
    assert find_code_server().pid != outer.pid


def test_down_from_elsewhere_stops_all_and_names_it(up: Home) -> None:
    supervisor = read_status(settings()).supervisor
    assert supervisor
    answer = millpond("down")
    assert answer.returncode == 0
    for name in ["up", *PARTS]:
        assert f"stopped {name} " in answer.stdout
    assert start_time(supervisor.pid) is None
    assert running_parts(up) == []
    after = status()
    assert (after["up"], after["supervisor"]) == (False, None)
    assert {part["state"] for part in after["parts"]} == {"down"}
