"""Which assets and days a run covers: selections as in Dagster, and what is refused before it starts."""

import datetime as dt

import dagster as dg
import pytest
from daily_assets import WEEK, daily, seen

from millpond.errors import ConfigError, PartitionKeyError
from millpond.partitions import Window
from millpond.runs.run import materialize


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("dlt_days", {"dlt_days"}),
        ("dlt_days*", {"dlt_days", "silver", "marts/mrt_days"}),
        ("dlt_days+", {"dlt_days", "silver"}),
        ("+silver", {"dlt_days", "silver"}),
        ("dlt_days, dlt_other", {"dlt_days", "dlt_other"}),
        ("group:raw", {"dlt_days", "dlt_other"}),
    ],
)
def test_selections_read_as_in_dagster(
    selection: str, names: set[str], definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    outcome = materialize(selection, Window.of_day(WEEK.start), definitions=definitions, instance=recorded)
    assert {a.asset for a in outcome.assets} == names


@pytest.mark.parametrize(
    ("selection", "near"),
    [
        ("dlt_dayz", "dlt_days"),
        ("mrt_days*", "marts/mrt_days"),
        ("group:silber", "group:silver"),
        ("tag:x=y", "there are: "),
        (" , ", "for example"),
        ("a or", "for example"),
    ],
)
def test_a_selection_that_names_nothing_is_refused_with_the_near_names(
    selection: str, near: str, definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    with pytest.raises(ConfigError) as refused:
        materialize(selection, WEEK, definitions=definitions, instance=recorded)
    assert near in refused.value.next_step
    assert recorded.get_runs() == []


@pytest.mark.usefixtures("clock")
def test_days_that_cannot_exist_are_refused_before_anything_runs(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    for window in (
        Window.of_day(dt.date(2023, 12, 31)),
        Window.of_days(WEEK.start, dt.datetime.now(dt.UTC).date() + dt.timedelta(days=2)),
    ):
        with pytest.raises(PartitionKeyError):
            materialize("*", window, definitions=definitions, instance=recorded)
    assert recorded.get_runs() == []


def test_an_asset_materialized_by_pythons_own_means_knows_its_window(
    definitions: dg.Definitions, recorded: dg.DagsterInstance
) -> None:
    asset = daily("alone", [], "raw")
    assert dg.materialize([asset], partition_key="2026-10-03", instance=recorded).success
    assert seen[-1][1].window == Window.of_day(dt.date(2026, 10, 3))
