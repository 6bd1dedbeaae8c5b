"""Sensors for automation conditions, new data in sources, and runs whose process died."""

import warnings
from collections.abc import Sequence
from typing import Any

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.file_sensors import build_file_sensor
from millpond.automation.requests import (
    build_chain_tags,
    build_run_request,
    default_sensor_status,
    find_downstream,
    find_unfinished_run,
    get_asset_graph,
    is_automatic,
    merge_by_chain,
)
from millpond.errors import SourceError, SourceRefused
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.instance.dead_runs import fail_dead_runs
from millpond.internals.dagster import SensorExecutionData, copy_record
from millpond.partitions import contiguous
from millpond.redaction import redacted
from millpond.resources.run import JOB
from millpond.settings import Settings

CONDITION_SENSOR = "keep_up"
_SECONDS = 30


class ChainSensor(dg.AutomationConditionSensorDefinition):
    """Dagster's sensor for automation conditions, but with one run for each chain."""

    def __init__(self, chains: Sequence[Chain], default_status: dg.DefaultSensorStatus) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # evaluation in the code server is beta
            super().__init__(
                CONDITION_SENSOR,
                target=dg.AssetSelection.all(),
                use_user_code_server=True,
                emit_backfills=False,
                minimum_interval_seconds=_SECONDS,
                default_status=default_status,
                description="Loads today by the cadence of each source, and in the same run what is"
                " downstream.",
            )
        self.chains = chains

    def with_attributes(self, **_: Any) -> "ChainSensor":
        """Return this sensor, which has no jobs to replace."""
        return self

    def evaluate_tick(self, context: dg.SensorEvaluationContext) -> SensorExecutionData:
        """Return Dagster's evaluation, its requests merged by chain."""
        found = super().evaluate_tick(context)
        return copy_record(found, run_requests=merge_by_chain(found.run_requests or (), self.chains))


def build_new_data_sensors(
    sources: Sequence[SourceSpec], chains: Sequence[Chain]
) -> list[dg.SensorDefinition]:
    """Return a sensor for each table whose spec declares `news`; each chain has one run at a time."""
    return [
        (build_file_sensor if table.files else _build_new_data_sensor)(source, table, chains)
        for source in sources
        for table in source.tables
        if table.news
    ]


def _build_new_data_sensor(
    source: SourceSpec, table: SourceTable, chains: Sequence[Chain]
) -> dg.SensorDefinition:
    assert table.news
    name = f"new_data_{table.name}"
    chain = next((each for each in chains if dg.AssetKey(table.asset) in each.assets), None)
    tags = build_chain_tags(chain, None) if chain else {}

    @dg.sensor(
        name=name,
        job_name=JOB,
        minimum_interval_seconds=round(table.news.every.total_seconds()),
        default_status=default_sensor_status(),
        description=f"Requests the newest rows of the last {table.news.days} days from {source.source} and"
        f" loads the days that have new ones: {table.asset} and all downstream of it, in one run. The"
        " first tick only records what is there.",
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from millpond.ingestion.news import Seen, look_for_news  # brings in pyarrow

        before = Seen.of_text(context.cursor)
        try:
            news, seen = look_for_news(source, table, before)
        except SourceRefused:
            raise  # wrong credentials or address need a person, so the tick fails, which sends an alert
        except SourceError as error:
            return dg.SensorResult(skip_reason=redacted(str(error)), cursor=context.cursor)
        if not news:
            words = "nothing new" if before else "first tick: new rows are loaded from now on"
            return dg.SensorResult(skip_reason=words, cursor=seen.text)
        windows = contiguous(news)
        if run := find_unfinished_run(context.instance, name):
            words = f"new rows for {', '.join(map(str, windows))}; waiting for run {run} to end"
            return dg.SensorResult(skip_reason=words, cursor=context.cursor)
        assets = find_downstream(get_asset_graph(context), [table.asset])
        return dg.SensorResult(
            run_requests=[
                build_run_request(assets, each, f"{name}:{each}:{seen.digest}", tags) for each in windows
            ],
            cursor=seen.text,
        )

    return new_data


_DEAD_RUNS_SECONDS = 60


def build_base_sensors(chains: Sequence[Chain], settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensor of automation conditions, and the one that closes runs whose process is gone.

    Such a run holds pool slots that other runs wait for.
    """
    status = dg.DefaultSensorStatus
    follow = ChainSensor(chains, status.RUNNING if is_automatic(settings) else status.STOPPED)

    @dg.sensor(
        minimum_interval_seconds=_DEAD_RUNS_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs whose process is gone as failed and frees the pool slots they held.",
    )
    def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        closed = fail_dead_runs(context.instance)
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "no dead runs")

    return [follow, dead_runs]
