"""What waits for an asset of somebody else starts when that is made, and tells when it failed or is late."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from millpond.alerts.finders.asset_facts import AssetFacts
from millpond.alerts.finders.find import find_alerts
from millpond.alerts.outbox import outbox
from millpond.alerts.routing import Routing
from millpond.automation.wait_sensors import build_wait_sensors
from millpond.automation.waits import Wait, read_waits
from millpond.definitions import defs
from millpond.errors import ConfigError
from millpond.instance.home import open_instance
from millpond.settings import Settings, settings

pytestmark = pytest.mark.usefixtures("clock")
TODAY = dt.date(2026, 3, 1)
DAY = TODAY - dt.timedelta(days=1)
BEFORE = DAY - dt.timedelta(days=1)
BROKEN = {"now": False}
LONG = dt.timedelta(days=3)


@dg.asset(key=["shop", "orders"], partitions_def=dg.DailyPartitionsDefinition("2024-01-01"))
def orders() -> None:
    """Another team's asset, in definitions of its own."""
    if BROKEN["now"]:
        raise RuntimeError("the shop is closed")


@dg.asset(key=["shop", "prices"])
def prices() -> None:
    if BROKEN["now"]:
        raise RuntimeError("the shop is closed")


SHOP = dg.Definitions(assets=[orders, prices], jobs=[dg.define_asset_job("shop_orders", [orders])])


@pytest.fixture
def recorded(home: object) -> Iterator[dg.DagsterInstance]:
    BROKEN["now"] = False
    with open_instance() as found:
        yield found


class Waiting:
    """The sensor as the daemon drives it."""

    def __init__(self, recorded: dg.DagsterInstance, **changes: Any) -> None:
        given = {
            "name": "orders",
            "asset": "shop/orders",
            "then": "fct_climate_readings+",
            "timeout": LONG,
            "days": 2,
        }
        (self.sensor,) = build_wait_sensors([Wait(**{**given, **changes})])
        self.recorded, self.cursor = recorded, None

    def tick(self, keep: bool = True) -> Any:
        context = dg.build_sensor_context(
            instance=self.recorded, cursor=self.cursor, repository_def=defs.get_repository_def()
        )
        result: Any = self.sensor(context)
        self.cursor = result.cursor if keep else self.cursor
        return result

    def launched(self) -> list[str]:
        return [run.tags["dagster/partition"] for run in self.tick().run_requests or ()]


def shop(recorded: dg.DagsterInstance, day: dt.date = DAY) -> str:
    """Run the shop's own job for a day."""
    result = SHOP.resolve_job_def("shop_orders").execute_in_process(
        instance=recorded, partition_key=str(day), raise_on_error=False
    )
    return result.run_id


def alerts(recorded: dg.DagsterInstance) -> list[dict[str, Any]]:
    find_alerts(recorded, settings(), Routing(late_after_days=0), AssetFacts())
    with outbox() as connection:
        kinds = ["external_late", "external_failed"]
        return connection.execute(
            "select * from alerts where kind = any(%s) order by id", (kinds,)
        ).fetchall()


def test_a_day_is_launched_once_when_the_other_has_made_it(recorded: dg.DagsterInstance) -> None:
    waiting = Waiting(recorded)
    assert "due by" in str(waiting.tick().skip_reason)
    shop(recorded)
    (run,) = waiting.tick().run_requests
    assert run.tags["dagster/partition"] == str(DAY)
    names = {key.to_user_string() for key in run.asset_selection}
    assert "fct_climate_readings" in names
    assert "dlt_climate_entries" not in names
    assert waiting.launched() == []
    assert alerts(recorded) == []


def test_a_day_that_is_made_again_is_launched_again_and_another_day_is_no_reason(
    recorded: dg.DagsterInstance,
) -> None:
    waiting = Waiting(recorded)
    shop(recorded, DAY - dt.timedelta(days=30))
    assert waiting.launched() == []
    shop(recorded)
    assert waiting.launched() == [str(DAY)]
    shop(recorded)
    shop(recorded, BEFORE)
    assert waiting.launched() == [str(BEFORE), str(DAY)]


def test_what_another_system_reports_to_dagster_counts_too(recorded: dg.DagsterInstance) -> None:
    waiting = Waiting(recorded)
    recorded.report_runless_asset_event(dg.AssetMaterialization(["shop", "orders"], partition=str(DAY)))
    assert waiting.launched() == [str(DAY)]


def test_a_tick_that_is_repeated_asks_for_the_same_run(recorded: dg.DagsterInstance) -> None:
    waiting = Waiting(recorded)
    shop(recorded)
    (lost,), (again,) = waiting.tick(keep=False).run_requests, waiting.tick().run_requests
    assert lost.run_key == again.run_key


def test_a_failed_run_of_the_other_is_the_reason_to_skip_and_one_alert_until_it_succeeds(
    recorded: dg.DagsterInstance,
) -> None:
    waiting = Waiting(recorded)
    BROKEN["now"] = True
    failed = shop(recorded)
    for _ in range(2):
        assert f"{DAY}: its latest run, {failed}, failed" in str(waiting.tick().skip_reason)
    (alert,) = alerts(recorded)
    assert (alert["kind"], alert["times"], alert["partition"]) == ("external_failed", 1, str(DAY))
    assert failed in alert["reason"]
    BROKEN["now"] = False
    shop(recorded)
    assert waiting.launched() == [str(DAY)]
    waiting.tick()
    assert alerts(recorded)[0]["resolution"] == "It has arrived."


def test_a_day_that_does_not_come_in_time_is_one_alert_and_its_end(recorded: dg.DagsterInstance) -> None:
    waiting = Waiting(recorded, timeout=dt.timedelta(0))
    for _ in range(2):
        assert f"{DAY}: not materialized; was due at" in str(waiting.tick().skip_reason)
    late = alerts(recorded)
    assert [(alert["kind"], alert["times"], alert["partition"]) for alert in late] == [
        ("external_late", 1, str(BEFORE)),
        ("external_late", 1, str(DAY)),
    ]
    shop(recorded)
    assert waiting.launched() == [str(DAY)]
    assert [alert["resolved_at"] is None for alert in alerts(recorded)] == [True, False]


def test_an_asset_without_partitions_counts_for_the_latest_day_once_made_after_its_end(
    recorded: dg.DagsterInstance,
) -> None:
    waiting = Waiting(recorded, asset="shop/prices")
    assert waiting.launched() == []
    dg.materialize([prices], instance=recorded)
    assert waiting.launched() == [str(DAY)]
    BROKEN["now"] = True
    failed = dg.materialize([prices], instance=recorded, raise_on_error=False).run_id
    assert f"{DAY}: its latest run, {failed}, failed" in str(waiting.tick().skip_reason)


def test_a_selection_that_names_nothing_fails_the_tick(recorded: dg.DagsterInstance) -> None:
    with pytest.raises(ConfigError, match=r"waits\.yaml: then of orders"):
        Waiting(recorded, then="fct_nothing+").tick()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("waits: [{name: orders}]", "waits.0.asset"),
        ("waits: [{name: orders, asset: a, then: b, timeout: soon}]", "is no duration"),
        ("waits: [{name: 'or ders', asset: a, then: b, timeout: 6h}]", "identifier"),
        ("waits: [", "is not valid YAML"),
        ("wait: []", "wait: Extra inputs"),
        (
            "waits: [{name: a, asset: a, then: b, timeout: 6h}, {name: a, asset: c, then: d, timeout: 6h}]",
            "two waits have the name a",
        ),
    ],
)
def test_a_mistake_in_the_file_is_answered_with_its_place_and_an_example(
    tmp_path: Path, configure: Callable[..., Settings], text: str, reason: str
) -> None:
    (tmp_path / "waits.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_waits(configure(project=tmp_path, home=tmp_path / "home"))
    assert reason in caught.value.what
    assert "write for example" in caught.value.next_step


def test_the_shipped_file_declares_no_wait_and_its_example_is_one(
    tmp_path: Path, configure: Callable[..., Settings]
) -> None:
    assert read_waits(settings()) == ()
    text = (settings().project / "waits.yaml").read_text()
    example = [
        line.removeprefix("# ") for line in text.splitlines() if line.startswith(("# waits:", "#   - "))
    ]
    (tmp_path / "waits.yaml").write_text("\n".join(example))
    (wait,) = read_waits(configure(project=tmp_path, home=tmp_path / "home"))
    assert (wait.sensor, wait.timeout) == ("wait_for_orders", dt.timedelta(hours=6))
