"""Results that are taken before dbt makes messages of them: nothing that is read of a message is lost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from dbt.events.types import EndOfRunSummary, LogModelResult, LogTestResult, NoNodesForSelectionCriteria
from dbt_common.events.base_types import EventLevel, msg_from_base_event
from google.protobuf.json_format import MessageToDict

from millpond.internals.dbt import ctx_set_event_manager
from millpond.transform.dbt_events import DbtEvents
from millpond.transform.dbt_patches import QuietEventManager, patch_dbt

_READ = {
    "info": ("name", "invocation_id"),
    "data": ("status", "num_failures", "execution_time"),
    "node_info": ("unique_id", "materialized", "node_status", "node_started_at", "node_finished_at"),
}
"""What dagster-dbt reads of a result."""


@pytest.fixture
def manager() -> Iterator[QuietEventManager]:
    patch_dbt()
    found = QuietEventManager()
    ctx_set_event_manager(found)
    yield found
    ctx_set_event_manager(QuietEventManager())


def _describe_node(**more: Any) -> dict[str, Any]:
    now = dt.datetime(2026, 11, 20, 7, 30, 1, 250_000)
    return {
        "node_path": "gold/rates.sql",
        "node_name": "rates",
        "unique_id": "model.acme.rates",
        "resource_type": "model",
        "materialized": "table",
        "node_status": "success",
        "node_started_at": now.isoformat(),
        "node_finished_at": (now + dt.timedelta(seconds=0.4)).isoformat(),
        "meta": {},
        "node_relation": {"database": "lake", "schema": "gold", "alias": "rates", "relation_name": None},
        "node_checksum": None,
        **more,
    }


_IN_BATCHES = {"node_status": "None", "node_started_at": None, "node_finished_at": None}
_TEST: dict[str, Any] = {"name": "unique_rates_day", "index": 2, "num_models": 47, "group": None}
_MODEL: dict[str, Any] = {"description": "table model gold.rates", "index": 1, "total": 3, "group": None}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (LogModelResult, {**_MODEL, "status": "OK", "execution_time": 0.4123456789}),
        (LogModelResult, {**_MODEL, "status": "OK", "execution_time": 1e-7, "node": _IN_BATCHES}),
        (LogModelResult, {**_MODEL, "status": "OK", "execution_time": 1234.56789, "node": _IN_BATCHES}),
        (LogTestResult, {**_TEST, "status": "pass", "execution_time": 0.1, "num_failures": 0}),
        (LogTestResult, {**_TEST, "status": "fail", "execution_time": 16_777_217.0, "num_failures": 3}),
        (LogTestResult, {**_TEST, "status": "error", "execution_time": 0.0, "num_failures": None}),
    ],
)
def test_a_result_has_all_that_dagster_reads_of_dbts_message(
    manager: QuietEventManager, kind: Any, fields: dict[str, Any]
) -> None:
    node = _describe_node(**fields.pop("node", {}))
    events = DbtEvents()
    manager.add_callback(events)
    manager.fire_event(kind(**fields, node_info=node), level=EventLevel.INFO)
    (found,) = events.results
    of_dbt = MessageToDict(
        msg_from_base_event(kind(**fields, node_info=node), level=EventLevel.INFO),
        preserving_proto_field_name=True,
    )
    for part, names in _READ.items():
        ours, theirs = (
            (each["data"]["node_info"] if part == "node_info" else each[part]) for each in (found, of_dbt)
        )
        assert {name: ours.get(name) for name in names} == {name: theirs.get(name) for name in names}


def test_a_warning_about_a_result_goes_dbts_way(manager: QuietEventManager) -> None:
    events = DbtEvents()
    manager.add_callback(events)
    event = LogTestResult(
        **_TEST, status="warn", execution_time=0.1, num_failures=3, node_info=_describe_node()
    )
    manager.fire_event(event, level=EventLevel.WARN)
    (found,) = events.results
    assert found["data"]["num_failures"] == 3
    assert found["info"]["level"] == "warn"
    assert not events.warnings


def test_warnings_are_heard_and_information_is_left_out(manager: QuietEventManager) -> None:
    events = DbtEvents()
    manager.add_callback(events)
    manager.fire_event(EndOfRunSummary(num_errors=0, num_warnings=0, keyboard_interrupt=False))
    manager.fire_event(NoNodesForSelectionCriteria(spec_raw="foo"))
    (warning,) = events.warnings
    assert "foo" in warning
    assert not events.results


def test_another_listener_receives_messages(manager: QuietEventManager) -> None:
    events, heard = DbtEvents(), list[str]()
    manager.add_callback(events)
    manager.add_callback(lambda message: heard.append(message.info.name))
    event = LogModelResult(**_MODEL, status="OK", execution_time=0.1, node_info=_describe_node())
    manager.fire_event(event, level=EventLevel.INFO)
    manager.fire_event(EndOfRunSummary(num_errors=0, num_warnings=0, keyboard_interrupt=False))
    assert heard == ["LogModelResult", "EndOfRunSummary"]
    assert [each["info"]["name"] for each in events.results] == ["LogModelResult"]
