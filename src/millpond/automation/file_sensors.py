"""Sensors of files: those that are new or changed start runs for the days that they have rows of."""

from collections.abc import Sequence

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
from millpond.redaction import redacted
from millpond.resources.run import JOB, REF_TAG
from millpond.settings import settings


def build_file_sensor(source: SourceSpec, table: SourceTable, chains: Sequence[Chain]) -> dg.SensorDefinition:
    """Return the sensor of a table of files; its cursor is the number of the last look with news."""
    assert table.news
    name = f"new_data_{table.name}"
    chain = next((each for each in chains if dg.AssetKey(table.asset) in each.assets), None)
    tags = build_chain_tags(chain, None) if chain else {}

    @dg.sensor(
        name=name,
        job_name=JOB,
        minimum_interval_seconds=round(table.news.every.total_seconds()),
        default_status=default_sensor_status(),
        description=f"Lists the files of {table.name} in {source.source} and loads the days of those that are"
        f" new or changed: {table.asset} and all downstream of it. A file that was loaded as it is now starts"
        " nothing, one that may still be written waits.",
    )
    def new_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from millpond.ingestion.files.arrivals import find_arrivals  # brings in pyarrow

        before = int(context.cursor or 0)
        if run := find_unfinished_run(context.instance, name):
            return dg.SensorResult(skip_reason=f"waiting for run {run} to end", cursor=context.cursor)
        try:
            found = find_arrivals(source, table, before)
        except SourceRefused:
            raise  # a wrong address or missing rights need a person, so the tick fails, which sends an alert
        except SourceError as error:
            return dg.SensorResult(skip_reason=redacted(str(error)), cursor=context.cursor)
        if not found.windows:
            return dg.SensorResult(skip_reason="no new files", cursor=str(before))
        assets = find_downstream(get_asset_graph(context), [table.asset])
        key = f"{name}:{found.tick}-{found.digest}"
        if not table.has_days:
            requests = [
                dg.RunRequest(key, tags={REF_TAG: settings().ref, **tags}, asset_selection=sorted(assets))
            ]
        else:
            requests = [build_run_request(assets, each, f"{key}:{each}", tags) for each in found.windows]
        return dg.SensorResult(run_requests=requests, cursor=str(found.tick))

    return new_files
