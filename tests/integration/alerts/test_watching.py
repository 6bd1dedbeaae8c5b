"""A daemon that fell silent is noticed by the dispatcher, once, and its return is told."""

from __future__ import annotations

import time
from typing import Any

import dagster as dg
from dagster._daemon.types import DaemonHeartbeat

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.monitor import DaemonWatch
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.settings import settings


def look(watch: DaemonWatch) -> None:
    with outbox() as connection:
        watch.check(connection)


def beat(recorded: dg.DagsterInstance, at: float) -> None:
    recorded.add_daemon_heartbeat(DaemonHeartbeat(at, "SENSOR", "id", []))


def test_silence_opens_one_alert_and_being_heard_ends_it(recorded: dg.DagsterInstance, rows: Any) -> None:
    beat(recorded, time.time() - 1000)
    watch = DaemonWatch(settings(), clock=iter([0.0, 200.0, 400.0, 600.0]).__next__)
    look(watch)
    look(watch)
    (told,) = rows("select kind, severity, title, times, resolved_at from alerts")
    assert told["title"] == "the daemon's heartbeat and the sensor `alerts` stopped"
    assert (told["severity"], told["times"], told["resolved_at"]) == ("critical", 1, None)
    beat(recorded, time.time())
    find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts())
    look(watch)
    assert not rows("select 1 from alerts where resolved_at is null")


def test_a_short_silence_such_as_after_the_machine_slept_is_nothing(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    look(DaemonWatch(settings()))
    assert not rows("select 1 from alerts")
