"""`millpond sources` shows which hosts do not answer and lets them be asked again; `status` tells too."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from millpond.errors import SourceUnreachable
from millpond.ingestion import breaker
from millpond.runtime.home import Home
from millpond.settings import Settings

Run = Callable[..., tuple[int, str, str]]
HOST = "https://iot.example.org:443"


@pytest.fixture
def opened(home: Home, configure: Callable[..., Settings]) -> None:
    configure(greenhouse_url="https://iot.example.org", breaker_failures=1)
    breaker.record_failure(HOST, SourceUnreachable("HTTP 503"), "greenhouse", [])


def test_list_shows_each_source_its_host_and_whether_that_answers(opened: None, run: Run) -> None:
    code, out, _ = run("sources", "list", "--json")
    greenhouse, market = json.loads(out)
    assert code == 0
    assert (market["source"], market["state"]) == ("market", "healthy")
    assert market["host"].startswith("http://127.0.0.1:")
    assert (greenhouse["host"], greenhouse["tables"]) == (HOST, ["climate_entries"])
    assert (greenhouse["state"], greenhouse["failures"]) == ("left alone", 1)
    assert greenhouse["next_try"]
    assert "HTTP 503" in run("sources", "list")[1]


def test_reset_lets_a_host_be_asked_again_once(opened: None, run: Run) -> None:
    assert run("sources", "reset", HOST)[:2] == (0, f"requests to {HOST} are allowed again\n")
    assert breaker.breakers() == []
    code, _, error = run("sources", "reset", HOST)
    assert code == 2
    assert "has no recorded failures" in error


def test_status_tells_which_hosts_are_left_alone(opened: None, run: Run) -> None:
    assert f"{HOST} is left alone since" in run("status")[1]
    (told,) = json.loads(run("status", "--json")[1])["left_alone"]
    assert told["host"] == HOST
