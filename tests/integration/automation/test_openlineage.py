"""Where OPENLINEAGE_URL names a backend, it is sent what runs made, once; branches' runs are not."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from millpond.automation import openlineage
from millpond.automation.openlineage import build_openlineage_sensors
from millpond.errors import ConfigError
from receivers import Web, web


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with web() as service:
        monkeypatch.setenv("OPENLINEAGE_URL", service.url)
        yield service


@dg.asset(deps=["dlt_orders"])
def mrt_orders() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset_check(asset=mrt_orders)
def has_rows() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.op
def leave_observation(context) -> None:  # type: ignore[no-untyped-def]
    context.log_event(dg.AssetObservation("made_on_a_branch"))


@dg.job
def on_a_branch() -> None:
    leave_observation()


def test_materializations_and_checks_are_sent_once_and_observations_are_not(
    recorded: dg.DagsterInstance, backend: Web
) -> None:
    (sensor,) = build_openlineage_sensors()
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    dg.materialize([mrt_orders, has_rows], instance=recorded)
    on_a_branch.execute_in_process(instance=recorded)
    with dg.build_sensor_context(instance=recorded) as context:
        assert list(sensor(context))  # type: ignore[call-overload]
        cursor = context.cursor
    outputs = [each["name"] for sent in backend.taken for each in sent.get("outputs", ())]
    assert outputs == ["mrt_orders"]
    told = str(backend.taken)
    assert "has_rows" in told
    assert "made_on_a_branch" not in told
    assert {sent["eventType"] for sent in backend.taken} >= {"START", "COMPLETE"}
    number = len(backend.taken)
    with dg.build_sensor_context(instance=recorded, cursor=cursor) as context:
        assert list(sensor(context))  # type: ignore[call-overload]
    assert len(backend.taken) == number, "each event is sent once"


def test_without_a_backend_there_is_no_sensor_and_without_packages_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    assert build_openlineage_sensors() == []
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(openlineage, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="not installed") as refused:
        build_openlineage_sensors()
    assert "millpond[openlineage]" in refused.value.next_step
