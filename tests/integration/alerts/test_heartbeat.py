"""The heartbeat: heard elsewhere while all is well, silent when it is not, and never a secret in a log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from alerting import FAST, dispatching
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.monitor import Heartbeat
from millpond.alerts.routing import Routing
from millpond.errors import ConfigError
from millpond.settings import Settings, settings
from receivers import GOOD, web
from waiting import until

SECRET = "0c4ana4y-ping-me-not-in-a-log"


def serving(url: str, is_well: Callable[[], bool]) -> tuple[threading.Thread, threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=Heartbeat(f"{url}/{SECRET}", 0.02, is_well, stop).serve)
    thread.start()
    return thread, stop


def test_the_address_is_asked_again_and_again_while_all_is_well_and_not_when_it_is_not() -> None:
    asked: list[bool] = []
    well = threading.Event()
    well.set()

    def is_well() -> bool:
        asked.append(well.is_set())
        return asked[-1]

    with web() as service:
        thread, stop = serving(service.url, is_well)
        until(lambda: len(service.requests) >= 3)
        well.clear()
        until(lambda: asked[-3:] == [False] * 3)
        silent = len(service.requests)
        until(lambda: asked[-9:] == [False] * 9)
        assert len(service.requests) == silent
        well.set()
        until(lambda: len(service.requests) > silent)
        stop.set()
        thread.join()
    assert set(service.requests) == {("GET", f"/{SECRET}")}


def test_an_address_that_refuses_is_told_once_without_its_secret_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with web() as service, caplog.at_level(logging.INFO, "millpond.alerts"):
        service.rule = lambda count: (500, {}) if count <= 3 else GOOD
        thread, stop = serving(service.url, lambda: True)
        until(lambda: len(service.requests) >= 5)
        stop.set()
        thread.join()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "heartbeat answered 500" in caplog.text
    assert SECRET not in caplog.text


def test_the_dispatcher_beats_once_the_daemon_and_its_sensor_are_heard(
    recorded: dg.DagsterInstance,
    configure: Callable[..., Settings],
    routes: Callable[..., Settings],
) -> None:
    with web() as service:
        configure(heartbeat_url=f"{service.url}/{SECRET}", heartbeat_seconds=1)
        configured = routes(FAST)
        recorded.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "id", []))
        find_alerts(recorded, configured, Routing(late_after_days=0), AssetFacts())
        with dispatching(configured):
            until(lambda: service.requests)
    assert service.requests[0] == ("GET", f"/{SECRET}")


def test_a_daemon_that_is_silent_silences_the_heartbeat(
    recorded: dg.DagsterInstance, routes: Callable[..., Settings], rows: Any
) -> None:
    from millpond.alerts.monitor import DaemonWatch
    from millpond.alerts.outbox import outbox

    watch = DaemonWatch(routes(FAST))
    recorded.add_daemon_heartbeat(DaemonHeartbeat(time.time() - 1000, "SENSOR", "id", []))
    find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts())
    with outbox() as connection:
        watch.check(connection)
        assert not watch.is_healthy
        recorded.add_daemon_heartbeat(DaemonHeartbeat(time.time(), "SENSOR", "id", []))
        watch.check(connection)
        assert watch.is_healthy


def test_an_address_that_is_none_is_refused_without_quoting_it(configure: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigError, match="must start with https://") as refused:
        configure(heartbeat_url=f"ping/{SECRET}")
    assert SECRET not in str(refused.value)
