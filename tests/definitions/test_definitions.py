"""What Dagster is told of this installation: complete, loaded without a socket, changed only on purpose."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import dagster as dg
import pytest
import time_machine
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.declarative_automation.serialized_objects import AutomationConditionSnapshot
from syrupy.assertion import SnapshotAssertion

from millpond.automation.conditions import EXEMPTION as BY_HAND
from millpond.errors import ConfigError
from millpond.instance.home import open_instance
from millpond.maintenance import assets
from millpond.maintenance.tasks import TASKS
from millpond.observability.assets import list_assets
from millpond.platform import build_definitions
from millpond.quality.freshness import EXEMPTION
from millpond.resources.run import MAINTENANCE
from millpond.runs.selection import resolve_selection
from millpond.runtime.home import Home
from millpond.settings import process_environment, settings
from millpond.transform.manifest import load_project_or_last

DEFINITIONS = Path(__file__).parents[2] / "src" / "millpond" / "definitions.py"
LAYERS = {"raw", "bronze", "silver", "gold", "marts"}
DOMAINS = {"climate", "market", "calendar"}
LOADED = """
import json, socket, sys, time, warnings

def refused(*_, **__):
    raise AssertionError("a socket was opened")

warnings.simplefilter("error")
import millpond.resources  # says which of Dagster's warnings are known
socket.socket.connect = socket.socket.bind = socket.getaddrinfo = refused
began = time.perf_counter(), time.process_time()
from millpond.definitions import defs
defs.get_repository_def()
wanted = ("dlt", "dbt.cli.main", "pyiceberg", "pandas", "requests")
heavy = [name for name in wanted if name in sys.modules]
print(json.dumps([time.perf_counter() - began[0], time.process_time() - began[1], heavy]))
"""


@lru_cache(1)
def definitions() -> dg.Definitions:
    from millpond.definitions import defs

    return defs


CONDITIONS = ("dim_date", "dlt_climate_entries", "fct_climate_readings", "marts/mrt_climate_overview")
"""One asset of each sort; the others differ in times and names alone."""


def written(condition: AutomationConditionSnapshot, depth: int = 0) -> list[str]:
    """Return a condition as a tree of its labels and names, a line each."""
    snapshot = condition.node_snapshot
    label = f" [{snapshot.label}]" if snapshot.label else ""
    line = f"{'  ' * depth}{snapshot.name}{label}"
    return [line, *(line for child in condition.children for line in written(child, depth + 1))]


def graph() -> AssetGraph:
    return definitions().resolve_asset_graph()


def specs() -> dict[str, dg.AssetSpec]:
    """Return the assets of data."""
    return {
        spec.key.to_user_string(): spec
        for spec in definitions().resolve_all_asset_specs()
        if MAINTENANCE not in spec.metadata
    }


@pytest.mark.timeout(120)
def test_definitions_load_without_a_socket_nor_what_only_runs_need(
    record_property: Callable[[str, object], None],
) -> None:
    load_project_or_last(settings())  # parses the dbt project, which is done once for an installation
    done = subprocess.run(
        [sys.executable, "-c", LOADED], env=process_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seconds, cpu_seconds, heavy = json.loads(done.stdout.splitlines()[-1])
    record_property("seconds", seconds)
    record_property("cpu_seconds", cpu_seconds)
    assert heavy == [], "what a run needs is imported when it runs"


def test_every_asset_says_whose_it_is_where_it_belongs_and_what_it_is() -> None:
    for name, spec in specs().items():
        assert spec.owners, name
        assert spec.group_name in LAYERS, name
        assert spec.description, name
        assert spec.kinds, name
        assert spec.tags.get("layer") in LAYERS, name
        assert spec.tags.get("domain") in DOMAINS, name
        assert "dagster/column_schema" in spec.metadata, name
        assert "dagster/table_name" in spec.metadata, name


def test_every_asset_has_a_freshness_policy_or_says_why_not() -> None:
    without = {name: spec.metadata[EXEMPTION] for name, spec in specs().items() if not spec.freshness_policy}
    assert without == {"dim_date": "none: it has no source upstream, so it does not age"}


def test_marts_follow_the_freshness_of_their_inputs() -> None:
    found = specs()
    hour, day = dt.timedelta(hours=1), dt.timedelta(days=1)
    for name, warn in (("climate_overview", hour), ("market_overview", 6 * hour)):
        promised = dg.FreshnessPolicy.time_window(fail_window=day, warn_window=warn)
        assert found[f"marts/mrt_{name}"].freshness_policy == promised
    assert (
        found["dlt_climate_entries"].freshness_policy == found["marts/mrt_climate_overview"].freshness_policy
    )


def test_every_asset_is_made_by_itself_or_says_why_not() -> None:
    without = {
        name: spec.metadata[BY_HAND] for name, spec in specs().items() if not spec.automation_condition
    }
    assert without == {}


def test_each_step_retries_with_growing_random_pauses_and_takes_its_pool() -> None:
    for name, spec in specs().items():
        asset = definitions().resolve_assets_def(spec.key)
        policy = asset.op.retry_policy
        assert policy is not None, name
        assert (policy.backoff, policy.jitter) == (dg.Backoff.EXPONENTIAL, dg.Jitter.FULL), name
        assert policy.max_retries > 0, name
        if spec.group_name == "raw":
            assert asset.op.pool.endswith("_api"), name
        else:
            assert asset.op.pool == ("publish" if spec.group_name == "marts" else "transform"), name


def test_loads_run_before_models_that_wait_for_nothing_either() -> None:
    for name, spec in specs().items():
        tags = definitions().resolve_assets_def(spec.key).op.tags
        assert int(tags.get("dagster/priority", 0)) == (1 if spec.group_name == "raw" else 0), name


def test_a_range_of_days_of_whatever_assets_is_one_run() -> None:
    policies = {graph().get(spec.key).backfill_policy for spec in specs().values()}
    assert policies == {dg.BackfillPolicy.single_run()}


def test_every_asset_reaches_back_to_a_source_or_the_calendar_without_a_cycle() -> None:
    assert specs().keys() <= {key.to_user_string() for key in graph().toposorted_asset_keys}
    roots = {name for name, spec in specs().items() if not graph().get(spec.key).parent_keys}
    assert roots == {
        "dim_date",
        "dlt_market_events",
        "dlt_climate_entries",
    }


def test_the_file_stays_a_table_of_contents() -> None:
    assert len(DEFINITIONS.read_text().splitlines()) < 60


def test_assets_are_what_they_were(snapshot: SnapshotAssertion) -> None:
    known = graph()
    assert snapshot == {
        name: {
            "group": spec.group_name,
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "partitions": type(known.get(spec.key).partitions_def).__name__,
            "owners": list(spec.owners),
            "kinds": sorted(spec.kinds),
            "made": condition.get_label() if (condition := spec.automation_condition) else "by hand",
            "retries": definitions().resolve_assets_def(spec.key).op.retry_policy.max_retries,
            "checks": {
                key.name: "blocks" if known.get(key).blocking else "warns"
                for key in sorted(known.asset_check_keys)
                if key.asset_key == spec.key
            },
        }
        for name, spec in sorted(specs().items())
    }


def test_what_runs_by_itself_is_what_it_was(snapshot: SnapshotAssertion) -> None:
    defs = definitions()
    assert snapshot == {
        "jobs": sorted(job.name for job in defs.jobs or ()),
        "schedules": {
            each.name: [each.cron_schedule, each.execution_timezone, each.job_name, each.default_status.value]
            for each in defs.schedules or ()
        },
        "sensors": {
            each.name: [each.minimum_interval_seconds, each.default_status.value]
            for each in defs.sensors or ()
        },
        "conditions": {
            name: written(spec.automation_condition.get_snapshot())
            for name, spec in sorted(specs().items())
            if name in CONDITIONS and spec.automation_condition
        },
    }


def launched(name: str, recorded: dg.DagsterInstance) -> list[str]:
    """Return a line for each run that a schedule launches at six, a sensor at ten (its second look)."""
    repository = definitions().get_repository_def()
    six = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)
    if repository.has_schedule_def(name):
        schedule = repository.get_schedule_def(name)
        context = dg.build_schedule_context(recorded, scheduled_execution_time=six, repository_def=repository)
        ticked = schedule.evaluate_tick(context)
        return [run_line(request, schedule.job_name) for request in ticked.run_requests or ()]
    sensor, cursor, found = repository.get_sensor_def(name), None, []
    for moment in (six.replace(hour=9, minute=59), six.replace(hour=10, second=5)):
        with time_machine.travel(moment, tick=False):
            looked = sensor.evaluate_tick(
                dg.build_sensor_context(recorded, cursor=cursor, repository_def=repository)
            )
        cursor, found = looked.cursor, [run_line(each, "") for each in looked.run_requests or ()]
    return found


def run_line(request: dg.RunRequest, job: str) -> str:
    tags = request.tags
    days = (
        f"{tags.get('dagster/asset_partition_range_start')}...{tags.get('dagster/asset_partition_range_end')}"
    )
    if not request.asset_selection:
        return job
    return f"{tags['millpond/chain']}: {len(request.asset_selection)} assets, {days}"


ASK_A_SOURCE = {"new_data_climate_entries", "new_data_market_events"}
"""What these launch is shown with a source to ask, in integration/automation/test_new_data.py."""
LAUNCHED = {
    "complete_yesterday": [
        "climate_entries: 10 assets, 2026-11-16...2026-11-19",
        "market_events: 7 assets, 2026-11-16...2026-11-19",
    ],
    "housekeeping_schedule": ["housekeeping"],
    "alerts": [],
    "dead_runs": [],
    "keep_up": ["climate_entries: 10 assets, 2026-11-12...2026-11-20"],
}


def test_each_schedule_and_sensor_is_on_the_list_of_what_is_launched() -> None:
    defs = definitions()
    names = {each.name for each in [*(defs.schedules or ()), *(defs.sensors or ())]}
    assert names == LAUNCHED.keys() | ASK_A_SOURCE


@pytest.mark.parametrize("name", sorted(LAUNCHED))
def test_each_schedule_and_sensor_launches_what_it_is_for(name: str, home: Home) -> None:
    with open_instance() as recorded:
        assert launched(name, recorded) == LAUNCHED[name]
        assert recorded.get_runs_count() == 0


def test_data_is_materialized_without_maintenance_and_a_selection_of_it_names_the_command() -> None:
    chores, built = {assets.key_of(task) for task in TASKS}, build_definitions()
    every = built.resolve_asset_graph()
    assert chores <= every.materializable_asset_keys
    for selection in ("*", "group:maintenance or group:raw"):
        assert chores.isdisjoint(resolve_selection(selection, every))
    assert chores.isdisjoint(built.resolve_job_def("millpond").asset_layer.executable_asset_keys)
    assert chores.isdisjoint(dg.AssetKey.from_user_string(each.name) for each in list_assets(built))
    with pytest.raises(ConfigError) as refused:
        resolve_selection("group:maintenance", every)
    assert refused.value.next_step.startswith("`millpond maintain close_dead_runs")
