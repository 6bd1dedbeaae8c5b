"""The marts in Dagster: what an asset says of itself, what its materialization and its check tell."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg
import psycopg
import pytest

from millpond.instance.home import open_instance
from millpond.instance.record import UNDONE, read_latest
from millpond.lake.history import plan_undo
from millpond.lake.ref_log import list_commits
from millpond.publish.assets import build_assets
from millpond.resources.run import REF_TAG
from millpond.runs.undo import undo
from millpond.runtime.databases import databases
from millpond.runtime.home import Home

DAYS = [{"day": dt.date(2026, 11, n), "readings": 280 + n} for n in range(1, 6)]
LEFT, RIGHT = dg.AssetKey(["marts", "mrt_left"]), dg.AssetKey(["marts", "mrt_right"])


def model(name: str) -> dict[str, Any]:
    return {
        "resource_type": "model",
        "name": name,
        "alias": name,
        "schema": "gold",
        "fqn": ["millpond", "gold", "climate", name],
        "original_file_path": f"models/gold/{name}.sql",
        "description": f"Days of {name}.",
        "config": {"group": "health", "meta": {"publish": {"key": ["day"]}}},
        "columns": {"day": {"name": "day", "data_type": "date", "description": "The day."}},
        "tags": [],
    }


MANIFEST = {
    "nodes": {name: model(name) for name in ("mrt_left", "mrt_right")},
    "groups": {"g": {"name": "health", "owner": {"email": "health@example.org"}}},
}


@pytest.fixture
def marts(home: Home) -> dg.AssetsDefinition:
    (found,) = build_assets(MANIFEST)
    return found


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey) -> dict[str, Any]:
    (found,) = [m for m in result.get_asset_materialization_events() if m.asset_key == key]
    return {k: v.value for k, v in found.materialization.metadata.items()}


def test_an_asset_describes_its_mart(marts: dg.AssetsDefinition) -> None:
    spec = marts.get_asset_spec(LEFT)
    assert spec.group_name == "marts"
    assert spec.kinds == {"postgres"}
    assert spec.owners == ["health@example.org"]
    assert spec.description == "Days of mrt_left."
    assert [d.asset_key for d in spec.deps] == [dg.AssetKey("mrt_left")]
    assert spec.metadata["dagster/table_name"] == "marts.mrt_left"
    assert spec.metadata["dagster/column_schema"].columns == [dg.TableColumn("day", "date", "The day.")]
    assert marts.partitions_def is None


def test_no_declaration_makes_no_assets() -> None:
    assert build_assets({"nodes": {}, "groups": {}}) == []


def test_a_materialization_tells_what_was_published(
    marts: dg.AssetsDefinition, write: Callable[..., None]
) -> None:
    write(mrt_left=DAYS, mrt_right=DAYS[:2])
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([marts], instance=instance)
        assert result.success
        found = metadata(result, LEFT)
        assert (found["rows_lake"], found["rows_postgres"], found["dagster/row_count"]) == (5, 5, 5)
        assert found["bytes"] > 0
        assert found["seconds"] > 0
        assert int(found["snapshot_id"]) > 0
        checks = result.get_asset_check_evaluations()
        assert {(c.asset_key, c.check_name, c.passed, c.blocking) for c in checks} == {
            (LEFT, "equals_lake", True, True),
            (RIGHT, "equals_lake", True, True),
        }


def test_the_data_version_changes_with_the_content_alone(
    marts: dg.AssetsDefinition, write: Callable[..., None]
) -> None:
    def version() -> str | None:
        result = dg.materialize([marts], selection=[LEFT])
        (event,) = result.get_asset_materialization_events()
        return (event.materialization.tags or {}).get("dagster/data_version")

    write(mrt_left=DAYS)
    first = version()
    assert first
    assert version() == first
    write(mrt_left=DAYS[1:])
    assert version() != first


def test_a_selected_mart_is_published_alone(
    marts: dg.AssetsDefinition, write: Callable[..., None], owner: psycopg.Connection[Any]
) -> None:
    write(mrt_left=DAYS, mrt_right=DAYS)
    assert dg.materialize([marts], selection=[RIGHT]).success
    assert owner.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'marts'").fetchall() == [
        ("mrt_right",)
    ]


def test_the_check_runs_alone_and_fails_when_mart_and_lake_differ(
    marts: dg.AssetsDefinition, write: Callable[..., None], owner: psycopg.Connection[Any]
) -> None:
    write(mrt_left=DAYS, mrt_right=DAYS)
    only_check = dg.AssetSelection.checks(dg.AssetCheckKey(LEFT, "equals_lake"))

    def check() -> tuple[bool, Any, Any]:
        result = dg.materialize([marts], selection=only_check, raise_on_error=False)
        assert not result.get_asset_materialization_events()
        (found,) = result.get_asset_check_evaluations()
        return found.passed, found.metadata["rows_lake"].value, found.metadata["rows_postgres"].value

    assert check() == (False, 5, None)
    dg.materialize([marts], selection=[LEFT])
    assert check() == (True, 5, 5)
    owner.execute("DELETE FROM marts.mrt_left WHERE day = '2026-11-01'")
    assert check() == (False, 5, 4)


def test_a_run_on_another_ref_publishes_to_its_schema(
    marts: dg.AssetsDefinition, write: Callable[..., None], owner: psycopg.Connection[Any]
) -> None:
    from millpond.lake import refs

    write(mrt_left=DAYS)
    refs.create("dev")
    assert dg.materialize([marts], selection=[LEFT], tags={REF_TAG: "dev"}).success
    assert owner.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'mrt_left'").fetchall() == [
        ("marts_dev",)
    ]


def test_marts_that_somebody_holds_are_tried_again_and_those_that_do_not_fit_are_not(
    home: Home,
    write: Callable[..., None],
    owner: psycopg.Connection[Any],
    configure: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("millpond.publish.assets.LAKE_STEP", dg.RetryPolicy(max_retries=2))
    configure(lock_seconds=0.2)
    defs = dg.Definitions(build_assets(MANIFEST), jobs=[dg.define_asset_job("all", "*")])
    job = defs.resolve_job_def("all")

    def retries(run_id: str, at_retry: Callable[[], object]) -> tuple[bool, int]:
        seen: list[str] = []

        def hear(entry: dg.EventLogEntry) -> None:
            if entry.dagster_event and entry.dagster_event.is_step_up_for_retry:
                seen.append(run_id)
                at_retry()

        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_event_listener(run_id, hear)
            result = job.execute_in_process(instance=instance, run_id=run_id, raise_on_error=False)
        return result.success, len(seen)

    write(mrt_left=DAYS, mrt_right=DAYS)
    assert retries("00000000-0000-0000-0000-000000000001", lambda: None) == (True, 0)
    write(mrt_left=DAYS[1:], mrt_right=DAYS)
    owner.execute("BEGIN")
    owner.execute("LOCK TABLE marts.mrt_left IN SHARE MODE")
    assert retries("00000000-0000-0000-0000-000000000002", owner.rollback) == (True, 1)
    owner.execute("ALTER TABLE marts.mrt_left ADD COLUMN theirs int")
    assert retries("00000000-0000-0000-0000-000000000003", lambda: None) == (False, 0)


def test_marts_whose_tables_an_undo_removes_lose_their_rows_and_their_record(
    marts: dg.AssetsDefinition, write: Callable[..., None]
) -> None:
    models = [
        dg.AssetSpec(name, metadata={"dagster/table_name": f"gold.{name}"}) for name in MANIFEST["nodes"]
    ]
    definitions = dg.Definitions([dg.multi_asset(specs=models, name="models")(lambda: None), marts])
    write(mrt_left=DAYS, mrt_right=DAYS[:2])
    with open_instance() as instance:
        assert dg.materialize([marts], instance=instance).success
        done = undo(plan_undo("main", list_commits("main", limit=1)[0].id), definitions)
        assert (done.emptied, done.marts, done.stale) == (("marts/mrt_left", "marts/mrt_right"), (), ())
        (latest,) = read_latest(instance, ["marts/mrt_left"], "main")["marts/mrt_left"].values()
        assert latest.version == UNDONE
    with databases().marts_readonly.connect() as connection:
        for name in MANIFEST["nodes"]:
            assert connection.execute(f"select count(*) from marts.{name}").fetchone() == (0,)
