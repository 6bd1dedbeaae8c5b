"""Sensors of new data: they look at a source, and start runs for the days of new rows or files."""

from collections.abc import Callable, Sequence
from functools import partial

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.requests import (
    build_chain_tags,
    build_run_request,
    default_sensor_status,
    find_downstream,
    find_unfinished_run,
    get_asset_graph,
)
from millpond.errors import SourceError, SourceRefused
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.naming import pluralize
from millpond.partitions import contiguous
from millpond.redaction import redacted
from millpond.resources.run import JOB, REF_TAG
from millpond.settings import settings

Look = Callable[[dg.SensorEvaluationContext, str, dict[str, str]], dg.SensorResult]
"""Looks at a source: takes the tick, the sensor's name and the tags of its runs. Raises a SourceError."""


def build_new_data_sensors(
    sources: Sequence[SourceSpec], chains: Sequence[Chain]
) -> list[dg.SensorDefinition]:
    """Return a sensor for each table whose spec declares `news`; each chain has one run at a time."""
    return [
        _build_sensor(source, table, chains) for source in sources for table in source.tables if table.news
    ]


def _build_sensor(source: SourceSpec, table: SourceTable, chains: Sequence[Chain]) -> dg.SensorDefinition:
    assert table.news
    name = f"new_data_{table.name}"
    chain = next((each for each in chains if dg.AssetKey(table.asset) in each.assets), None)
    tags = build_chain_tags(chain, None) if chain else {}
    look: Look = partial(_look_for_files if table.files else _look_for_rows, source, table)
    description = (
        f"Lists the files of {table.name} in {source.source} and loads the days of those that are"
        f" new or changed: {table.asset} and all downstream of it. A file that was loaded as it is now starts"
        " nothing, one that may still be written waits."
        if table.files
        else f"Requests the newest rows of the last {pluralize(table.news.days, 'day')} from {source.source}"
        f" and loads the days that have new ones: {table.asset} and all downstream of it, in one run. The"
        " first tick only records what is there."
    )

    @dg.sensor(
        name=name,
        job_name=JOB,
        minimum_interval_seconds=round(table.news.every.total_seconds()),
        default_status=default_sensor_status(),
        description=description,
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        try:
            return look(context, name, tags)
        except SourceRefused:
            raise  # wrong credentials or address need a person, so the tick fails, which sends an alert
        except SourceError as error:
            return dg.SensorResult(skip_reason=redacted(str(error)), cursor=context.cursor)

    return new_data


def _look_for_rows(
    source: SourceSpec,
    table: SourceTable,
    context: dg.SensorEvaluationContext,
    name: str,
    tags: dict[str, str],
) -> dg.SensorResult:
    from millpond.ingestion.news import Seen, look_for_news  # brings in pyarrow

    before = Seen.of_text(context.cursor)
    news, seen = look_for_news(source, table, before)
    if not news:
        words = "nothing new" if before else "first tick: new rows are loaded from now on"
        return dg.SensorResult(skip_reason=words, cursor=seen.text)
    windows = contiguous(news)
    if run := find_unfinished_run(context.instance, name):
        words = f"new rows for {', '.join(map(str, windows))}; waiting for run {run} to end"
        return dg.SensorResult(skip_reason=words, cursor=context.cursor)
    assets = find_downstream(get_asset_graph(context), [table.asset])
    requests = [build_run_request(assets, each, f"{name}:{each}:{seen.digest}", tags) for each in windows]
    return dg.SensorResult(run_requests=requests, cursor=seen.text)


def _look_for_files(
    source: SourceSpec,
    table: SourceTable,
    context: dg.SensorEvaluationContext,
    name: str,
    tags: dict[str, str],
) -> dg.SensorResult:
    """The cursor is the number of the last look with news."""
    from millpond.ingestion.files.arrivals import find_arrivals  # brings in pyarrow

    before = int(context.cursor or 0)
    if run := find_unfinished_run(context.instance, name):
        return dg.SensorResult(skip_reason=f"waiting for run {run} to end", cursor=context.cursor)
    found = find_arrivals(source, table, before)
    if not found.windows:
        return dg.SensorResult(skip_reason="no new files", cursor=str(before))
    assets = find_downstream(get_asset_graph(context), [table.asset])
    key = f"{name}:{found.tick}-{found.digest}"
    if table.has_days:
        requests = [build_run_request(assets, each, f"{key}:{each}", tags) for each in found.windows]
    else:
        whole = {REF_TAG: settings().ref, **tags}
        requests = [dg.RunRequest(key, tags=whole, asset_selection=sorted(assets))]
    return dg.SensorResult(run_requests=requests, cursor=str(found.tick))
