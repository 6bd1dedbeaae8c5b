"""The schedule of the daily load, of yesterday and of late days."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from millpond.automation.chains import Chain
from millpond.automation.requests import build_chain_tags, find_covering_run, is_automatic
from millpond.internals.dagster import UnresolvedAssetJobDefinition
from millpond.partitions import Window
from millpond.settings import Settings

DAILY_SCHEDULE = "complete_yesterday"
_SATURDAY = 5


def is_weekend(day: dt.date) -> bool:
    """Return whether a day is a Saturday or a Sunday."""
    return day.weekday() >= _SATURDAY


def find_window(moment: dt.datetime, chain: Chain, settings: Settings) -> Window | None:
    """Return the days to load at `moment`, up to yesterday; None if no day has ended yet."""
    today = moment.astimezone(settings.zone).date()
    before = chain.weekend_lookback_days if is_weekend(today) else chain.lookback_days
    yesterday = today - dt.timedelta(days=1)
    first = max(yesterday - dt.timedelta(days=before), settings.start_date)
    return Window.of_days(first, yesterday) if first <= yesterday else None


def build_daily(
    job: UnresolvedAssetJobDefinition, chains: Sequence[Chain], settings: Settings
) -> dg.ScheduleDefinition:
    """Return the schedule: one run for each chain, over all its days at once."""
    hour, minute = settings.daily_at.split(":")
    status = dg.DefaultScheduleStatus.RUNNING if is_automatic(settings) else dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=DAILY_SCHEDULE,
        job=job,
        cron_schedule=f"{int(minute)} {int(hour)} * * *",
        execution_timezone=settings.timezone,
        default_status=status,
        description="Completes yesterday and reloads as many days before it as the cadence of each source"
        " sets, in one run for each chain.",
    )
    def complete_yesterday(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        requests, skipped = [], []
        for chain in chains:
            window = find_window(context.scheduled_execution_time, chain, settings)
            if window is None:
                skipped.append(f"{chain.name}: no day has ended since MILLPOND_START_DATE")
            elif run := find_covering_run(context.instance, chain.assets, window):
                skipped.append(f"{chain.name}: run {run} already covers {window}")
            else:
                requests.append(_build_request(chain, window))
        for reason in skipped:
            context.log.info(reason)
        return requests or dg.SkipReason("; ".join(skipped) or "no source declares a cadence")

    return complete_yesterday


def _build_request(chain: Chain, window: Window) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{chain.name}:{window.last}",
        asset_selection=sorted(chain.assets | chain.given),
        tags=build_chain_tags(chain, window),
    )
