"""What a part leaves in its own transaction becomes one alert, or the end of one, whatever breaks off."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from millpond import notices
from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.finders.ticks import record_notices
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.runtime.databases import databases
from millpond.settings import settings

KNOWN = AssetFacts(owners={"dlt_a": ("team:a",)})


def left(*, over: bool = False, source: str | None = None) -> None:
    with databases().ops.connect() as connection:
        if over:
            notices.over(connection, "breaker_open", "host", "It answers again.")
        else:
            text = "no ?token=hunter22hunter22"
            notices.tell(connection, "breaker_open", "host", "down", text, assets=["dlt_a"], source=source)


def look(recorded: dg.DagsterInstance) -> int:
    return find_alerts(recorded, settings(), Routing(late_after_days=0), KNOWN)


def test_a_notice_becomes_an_alert_with_owners_and_without_secrets_once(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    left()
    assert [look(recorded), look(recorded)] == [1, 0]
    (told,) = rows("select * from alerts")
    assert (told["kind"], told["severity"], told["owners"]) == ("breaker_open", "error", ["team:a"])
    assert "hunter22" not in str(told)


def test_beginning_and_end_between_two_looks_are_one_alert_and_its_end(
    recorded: dg.DagsterInstance, rows: Any
) -> None:
    left()
    left(over=True)
    look(recorded)
    assert rows("select times, resolution from alerts") == [{"times": 1, "resolution": "It answers again."}]


def test_an_end_of_what_nobody_was_told_is_no_alert(recorded: dg.DagsterInstance, rows: Any) -> None:
    left(over=True)
    assert look(recorded) == 0
    assert rows("select 1 from alerts") == []


def test_what_is_left_twice_under_one_source_is_told_once(recorded: dg.DagsterInstance, rows: Any) -> None:
    left(source="message:7")
    look(recorded)
    left(source="message:7")
    look(recorded)
    assert rows("select times from alerts") == [{"times": 1}]


def broken_off() -> None:
    with outbox() as connection:
        assert record_notices(connection, KNOWN) == 1
        raise KeyboardInterrupt


def test_a_look_that_breaks_off_loses_no_notice(recorded: dg.DagsterInstance, rows: Any) -> None:
    left()
    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert rows("select 1 from alerts") == []
    assert look(recorded) == 1
