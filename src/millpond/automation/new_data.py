"""A sensor for each table whose source is asked, now and then, whether there is something new."""

from collections.abc import Sequence

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.launching import at_work, from_the_start, graph_of, run_request, with_downstream
from millpond.automation.requests import chain_tags
from millpond.errors import SourceError, SourceRefused
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.partitions import contiguous
from millpond.redaction import redacted
from millpond.resources.run import JOB


def build_sensors(sources: Sequence[SourceSpec], chains: Sequence[Chain]) -> list[dg.SensorDefinition]:
    """Return a sensor for each table whose spec declares `news`; of `chains` each has one run at a time."""
    return [_sensor(source, table, chains) for source in sources for table in source.tables if table.news]


def _sensor(source: SourceSpec, table: SourceTable, chains: Sequence[Chain]) -> dg.SensorDefinition:
    assert table.news
    name = f"new_data_{table.name}"
    chain = next((each for each in chains if dg.AssetKey(table.asset) in each.assets), None)
    tags = chain_tags(chain, None) if chain else {}

    @dg.sensor(
        name=name,
        job_name=JOB,
        minimum_interval_seconds=round(table.news.every.total_seconds()),
        default_status=from_the_start(),
        description=f"Asks {source.source} for the newest rows of the last {table.news.days} days and loads"
        f" the days that have new ones: {table.asset} and all that is made from it, in one run. The first"
        " look only remembers what is there.",
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from millpond.ingestion.news import Seen, look_for_news  # brings in pyarrow

        before = Seen.of_text(context.cursor)
        try:
            news, seen = look_for_news(source, table, before)
        except SourceRefused:
            raise  # credentials or address are wrong: somebody has to act, so the tick fails and is told
        except SourceError as error:
            return dg.SensorResult(skip_reason=redacted(str(error)), cursor=context.cursor)
        if not news:
            words = "nothing new" if before else "the first look: what comes from now on is loaded"
            return dg.SensorResult(skip_reason=words, cursor=seen.text)
        windows = contiguous(news)
        if run := at_work(context.instance, name):
            words = f"new rows for {', '.join(map(str, windows))}; looked at again once run {run} has ended"
            return dg.SensorResult(skip_reason=words, cursor=context.cursor)
        assets = with_downstream(graph_of(context), [table.asset])
        return dg.SensorResult(
            run_requests=[
                run_request(assets, each, f"{name}:{each}:{seen.digest}", tags) for each in windows
            ],
            cursor=seen.text,
        )

    return new_data
