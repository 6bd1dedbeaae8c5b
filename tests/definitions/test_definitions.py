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
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from syrupy.assertion import SnapshotAssertion

from millpond.quality.freshness import EXEMPTION
from millpond.settings import process_environment

DEFINITIONS = Path(__file__).parents[2] / "src" / "millpond" / "definitions.py"
LAYERS = {"raw", "bronze", "silver", "gold", "marts"}
DOMAINS = {"glucose", "github", "calendar"}
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
heavy = [name for name in ("dlt", "dbt.cli.main", "pyiceberg", "pandas") if name in sys.modules]
print(json.dumps([time.perf_counter() - began[0], time.process_time() - began[1], heavy]))
"""


@lru_cache(1)
def definitions() -> dg.Definitions:
    from millpond.definitions import defs

    return defs


def graph() -> AssetGraph:
    return definitions().resolve_asset_graph()


def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in definitions().resolve_all_asset_specs()}


@pytest.mark.timeout(120)
def test_definitions_load_without_a_socket_nor_what_only_runs_need(
    record_property: Callable[[str, object], None],
) -> None:
    definitions()  # parses the dbt project, which is done once for an installation
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
    assert without == {"dim_date": "none: it is made from no source, so it does not age"}


def test_marts_follow_the_freshness_of_their_inputs() -> None:
    found = specs()
    hour, day = dt.timedelta(hours=1), dt.timedelta(days=1)
    for name, warn in (("glucose_overview", hour), ("github_activity_overview", 6 * hour)):
        promised = dg.FreshnessPolicy.time_window(fail_window=day, warn_window=warn)
        assert found[f"marts/mrt_{name}"].freshness_policy == promised
    assert (
        found["dlt_glucose_entries"].freshness_policy == found["marts/mrt_glucose_overview"].freshness_policy
    )


def test_what_talks_to_a_source_retries_and_takes_its_pool() -> None:
    for name, spec in specs().items():
        asset = definitions().resolve_assets_def(spec.key)
        if spec.group_name == "raw":
            policy = asset.op.retry_policy
            assert policy is not None, name
            assert policy.jitter == dg.Jitter.FULL, name
            assert asset.op.pool.endswith("_api"), name
        else:
            assert asset.op.pool == ("publish" if spec.group_name == "marts" else "transform"), name


def test_a_range_of_days_of_whatever_assets_is_one_run() -> None:
    policies = {node.backfill_policy for node in graph().asset_nodes}
    assert policies == {dg.BackfillPolicy.single_run()}


def test_every_asset_reaches_back_to_a_source_or_the_calendar_without_a_cycle() -> None:
    order = graph().toposorted_asset_keys
    assert len(order) == len(specs())
    roots = {node.key.to_user_string() for node in graph().asset_nodes if not node.parent_keys}
    assert roots == {
        "dim_date",
        "dlt_github_user_events",
        "dlt_glucose_entries",
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
            each.name: [each.cron_schedule, each.default_status.value] for each in defs.schedules or ()
        },
        "sensors": {
            each.name: [each.minimum_interval_seconds, each.default_status.value]
            for each in defs.sensors or ()
        },
    }
