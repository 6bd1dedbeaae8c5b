"""Raw tables as Dagster assets: a materialization per day, failures that teach, no secret in any record."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from fake_source import DAY, Answer, Entries, FakeSource, reading
from millpond.ingestion.__main__ import main
from millpond.ingestion.assets import build_assets
from millpond.ingestion.reading import load_sources
from millpond.ingestion.window import Retries
from millpond.settings import Settings, settings
from source_tables import load_days, raw, table_of

CANARY = "c4n4ry-of-the-assets"
KEY = dg.AssetKey("dlt_climate_entries")
DAYS = [DAY + dt.timedelta(n) for n in range(3)]
RANGE = {
    "dagster/asset_partition_range_start": str(DAYS[0]),
    "dagster/asset_partition_range_end": str(DAYS[-1]),
}


def asset(**changes: Any) -> dg.AssetsDefinition:
    """Return the asset of the climate entries, its retries without waits."""
    retries = Retries(max=1, delay=dt.timedelta(0))
    source, table = table_of("climate_entries", retries=retries, **changes)
    (found,) = build_assets([source.model_copy(update={"tables": (table,)})])
    return found


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as found:
        yield found


def run(
    instance: dg.DagsterInstance, *assets: dg.AssetsDefinition, day: dt.date | None = None
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        assets or [asset()],
        partition_key=str(day) if day else None,
        tags={} if day else RANGE,
        instance=instance,
        raise_on_error=False,
    )


def materialized(result: dg.ExecuteInProcessResult) -> dict[str | None, dg.AssetMaterialization]:
    events = result.asset_materializations_for_node("dlt_climate_entries")
    assert len(events) == len({event.partition for event in events})
    return {event.partition: event for event in events if isinstance(event, dg.AssetMaterialization)}


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    text = event.step_failure_data.user_failure_data
    assert text is not None
    return text.description or ""


def values(event: dg.AssetMaterialization) -> dict[str, Any]:
    return {name: value.value for name, value in event.metadata.items()}


def test_the_assets_say_what_they_are() -> None:
    by_key = {a.key.to_user_string(): a for a in build_assets(load_sources(settings()))}
    assert sorted(by_key) == ["dlt_climate_entries", "dlt_market_events"]
    for found in by_key.values():
        (spec,) = found.specs
        assert spec.group_name == "raw"
        assert spec.kinds == {"dlt", "iceberg"}
        assert spec.owners
        assert spec.description
        assert spec.tags["layer"] == "raw"
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert all(column.description for column in schema.columns)
        assert found.backfill_policy == dg.BackfillPolicy.single_run()
        assert found.op.pool
    partitions = by_key["dlt_climate_entries"].partitions_def
    assert isinstance(partitions, dg.DailyPartitionsDefinition)
    assert partitions.end_offset == 1
    assert partitions.get_first_partition_key() == str(settings().start_date)


def test_a_range_run_has_one_materialization_a_day_each_with_its_own_numbers(
    server: FakeSource, instance: dg.DagsterInstance
) -> None:
    rows = [reading(n, day) for i, day in enumerate(DAYS[:2]) for n in range(3 + i)]
    server.serve = Entries([*rows, reading(0), *[reading(n, DAYS[1], lux="LOW") for n in (50,)]])
    result = run(instance, asset(quarantine=_lenient()))
    assert result.success
    found = materialized(result)
    wanted = (
        "rows_in_source",
        "rows_loaded",
        "rows_quarantined",
        "duplicates_dropped",
        "rows_outside_window",
    )
    assert [tuple(values(found[str(day)])[name] for name in wanted) for day in DAYS] == [
        (4, 3, 0, 1, 0),
        (5, 4, 1, 0, 0),
        (0, 0, 0, 0, 0),
    ]
    for day in DAYS:
        metadata = values(found[str(day)])
        assert metadata["partition"] == str(day)
        assert metadata["snapshot_id"].isdigit()
        assert metadata["seconds"] >= 0
        assert metadata["bytes"] >= 0
    versions = [(found[str(day)].tags or {})["dagster/data_version"] for day in DAYS]
    assert len(set(versions)) == 3
    assert versions == [
        p.content_hash for p in load_days(DAYS[0], DAYS[-1], quarantine=_lenient()).partitions
    ]
    assert instance.get_materialized_partitions(KEY) == {str(day) for day in DAYS}


def test_the_same_rows_keep_version_and_snapshot(server: FakeSource, instance: dg.DagsterInstance) -> None:
    server.serve = Entries([reading(0)])
    first, second = (materialized(run(instance, day=DAY))[str(DAY)] for _ in range(2))
    assert first.tags == second.tags
    assert values(first)["snapshot_id"] == values(second)["snapshot_id"]


def test_what_is_downstream_runs_after_it_in_the_same_run(
    server: FakeSource, instance: dg.DagsterInstance
) -> None:
    upstream = asset()

    @dg.asset(
        deps=[upstream],
        partitions_def=upstream.partitions_def,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def downstream() -> None: ...

    server.serve = Entries([reading(0)])
    result = run(instance, upstream, downstream)
    assert result.success
    assert {e.partition for e in result.asset_materializations_for_node("downstream")} == {
        str(d) for d in DAYS
    }


def test_good_days_are_materialized_and_the_run_fails_naming_the_others(
    server: FakeSource, instance: dg.DagsterInstance
) -> None:
    rows = [reading(n, day) for day in DAYS for n in range(10)]
    server.serve = Entries([row | ({"lux": "LOW"} if "20261102" in row["_id"] else {}) for row in rows])
    result = run(instance)
    assert not result.success
    assert set(materialized(result)) == {str(DAYS[0]), str(DAYS[2])}
    assert instance.get_materialized_partitions(KEY) == {str(DAYS[0]), str(DAYS[2])}
    text = failure(result)
    assert "dlt_climate_entries, 2026-11-02: 10 of 10 rows break the contract" in text
    assert "Unharmed: the day as it was loaded before" in text
    assert "Next: " in text
    assert "The other 2 of 3 days were loaded." in text
    assert len([e for e in result.all_events if e.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]) == 0


def test_what_a_retry_may_mend_is_retried_and_what_it_cannot_is_not(
    server: FakeSource, instance: dg.DagsterInstance
) -> None:
    server.serve = Entries([reading(0)])
    server.script.extend([Answer(b"[{")] * 3)
    assert run(instance, day=DAY).success
    server.requests.clear()
    server.script.append(Answer(b"", 401))
    result = run(instance, day=DAY)
    assert not result.success
    assert "MILLPOND_GREENHOUSE_TOKEN" in failure(result)
    assert len(server.requests) == 1


def test_the_run_tag_of_dagsters_pages_takes_a_day_that_lost_rows_held_back_or_loaded_again(
    server: FakeSource, instance: dg.DagsterInstance
) -> None:
    def tagged(value: str) -> bool:
        tags = {"millpond/accept": value}
        day = str(DAY)
        return dg.materialize(
            [asset()], partition_key=day, instance=instance, tags=tags, raise_on_error=False
        ).success

    for rows, taken in ((100, ""), (40, "held"), (15, "shrink")):
        server.serve = Entries([reading(n) for n in range(rows)])
        assert run(instance, day=DAY).success == (not taken)
        if taken:
            assert len(raw()) > rows
            assert not tagged("everything")
            assert tagged(taken)
        assert len(raw()) == rows


@pytest.mark.parametrize(
    "key", ["yesterday", "2026-13-01", "2099-01-01", "2019-12-31", "2026-01-01' OR 1=1--", "../x"]
)
def test_a_key_that_is_no_day_so_far_fails_before_anything_is_asked(
    server: FakeSource, instance: dg.DagsterInstance, key: str
) -> None:
    with pytest.raises(dg.DagsterError) as caught:
        dg.materialize([asset()], partition_key=key, instance=instance)
    assert key in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    "trouble",
    [
        lambda _: Answer(f"<a href='?token={CANARY}'>{CANARY}</a>".encode()),
        lambda _: Answer(f"bad token {CANARY}".encode(), 401),
        pytest.param(lambda _: Answer(CANARY.encode(), 500), marks=pytest.mark.slow),
        pytest.param(lambda _: Answer(raw=lambda connection: connection.close()), marks=pytest.mark.slow),
        lambda _: Answer(b"", 302, {"Location": f"http://127.0.0.1:9/?token={CANARY}"}),
    ],
    ids=["malformed", "refused", "broken", "closed", "redirected"],
)
def test_no_secret_is_in_any_event_log_or_file(
    server: FakeSource,
    instance: dg.DagsterInstance,
    configure: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    trouble: Callable[[Any], Answer],
) -> None:
    configured = configure(greenhouse_token=CANARY, request_budget_seconds=0.5)
    caplog.set_level("DEBUG")
    server.serve = trouble
    result = run(instance, day=DAY)
    assert not result.success
    assert server.requests[0].query["token"] == CANARY
    records = [repr(record) for record in instance.all_logs(result.run_id)]
    records += [dg.serialize_value(record) for record in instance.all_logs(result.run_id)]
    assert "Starting new HTTP connection" in caplog.text
    records += [caplog.text, *capfd.readouterr()]
    records += [
        f.read_bytes().decode(errors="replace")
        for f in configured.home.rglob("*")
        if f.is_file() and "postgres" not in f.parts
    ]
    assert not any(CANARY in record for record in records)


def test_nothing_is_reported_to_the_makers_of_dlt(
    server: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    from dlt.common.runtime import anon_tracker

    caplog.set_level("DEBUG")
    load_days(DAY)
    assert anon_tracker._ANON_TRACKER_ENDPOINT is None
    assert "Starting new HTTPS connection" not in caplog.text


def test_it_runs_without_dagster(server: FakeSource, capsys: pytest.CaptureFixture[str]) -> None:
    server.serve = Entries([reading(0), reading(1, DAYS[1])])
    assert main(["climate_entries", "--range", f"{DAYS[0]}...{DAYS[1]}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["2026-11-01", "1", "1", "0", "0", "0", "0", "0"]
    assert raw("_id") == ["20261101-0000", "20261102-0001"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["climate"], 2, "no source declares a table 'climate'"),
        (["climate_entries", "--partition", "2026-11-01' OR 1=1--"], 2, "is not a partition key"),
        (["climate_entries", "--partition", "2099-01-01"], 2, "has not begun yet"),
        (["climate_entries", "--range", "2026-11-02...2026-11-01"], 2, "ends before it begins"),
        (["climate_entries", "--partition", "2026-11-01"], 1, "HTTP 404"),
    ],
)
def test_what_cannot_be_done_ends_with_a_message_and_a_code(
    server: FakeSource, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    server.serve = lambda _: Answer(json.dumps({}).encode(), 404)
    assert main(arguments) == code
    assert message in capsys.readouterr().err


def _lenient() -> Any:
    from millpond.ingestion.window import Quarantine

    return Quarantine(fail_above=0.5)
