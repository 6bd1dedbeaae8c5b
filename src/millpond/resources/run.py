"""What an asset reads from its run: id, ref, window; and the daily partitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import dagster as dg
from dagster import AssetExecutionContext

from millpond.errors import ConfigError
from millpond.internals.dagster import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from millpond.naming import MAIN_REF, ref_name
from millpond.partitions import RANGE_SEPARATOR, Window, check_window, parse_day
from millpond.settings import Settings, settings

OWN_PARTITIONS = "own_partitions"
"""Metadata of an asset whose partitions are not these days."""

MAINTENANCE = "maintenance"
"""Metadata of an asset that stands for a task of maintenance, not for data."""


def daily_partitions(configured: Settings | None = None) -> dg.DailyPartitionsDefinition:
    """Return the partitions of raw tables and daily models: days in the configured zone, today included.

    Use them for daily assets of your own, so that Dagster maps their days to those of the platform.
    """
    configured = configured or settings()
    return dg.DailyPartitionsDefinition(
        start_date=str(configured.start_date), timezone=configured.timezone, end_offset=1
    )


JOB = "millpond"
"""The job that holds every asset."""
REF_TAG = "millpond/ref"
"""Run tag with the ref that a run reads and writes; default: the setting."""
BACKFILL_TAG = "millpond/backfill"
"""Run tag with the id of the run's backfill."""

ACCEPT_TAG = "millpond/accept"
"""Run tag that says which rows a person takes, or drops, in place of a load: see `Accepting`."""

LEFT_OUT_TAG = "millpond/left_out"
"""Run tag that names days which a run that succeeded did not load: wiped, or older than a retention."""

RULE_TAG = "millpond/rule"
"""Run tag that names the rule whose rows in quarantine a replay or discard is about; without it, all."""

FULL_REFRESH_TAG = "millpond/full_refresh"
"""Run tag; `true` builds daily models over all their days, as dbt does with `--full-refresh`."""

Accepting = Literal["shrink", "wiped", "held", "replay", "discard", "migrate"]
"""`shrink`: what the source has now, however little; `wiped`: days that were wiped, too; with no request
sent, `held`: what was held back, `replay`: rows in quarantine that pass the contract by now, `migrate`: the
rows of all days, converted to the declared types; `discard` removes rows from quarantine."""


@dataclass(frozen=True)
class RunInfo:
    """The run of an asset; `window` is None for an asset without partitions."""

    run_id: str
    ref: str
    window: Window | None
    accept: Accepting | None = None
    full_refresh: bool = False
    rule: str | None = None

    @classmethod
    def of(cls, context: AssetExecutionContext) -> RunInfo:
        """Return the run of `context`; raises PartitionKeyError for a key that cannot be a partition now."""
        configured = settings()
        ref = ref_name(ref_of(context.run.tags))
        if ref != MAIN_REF and REF_TAG not in context.run.tags:
            context.instance.add_run_tags(context.run.run_id, {REF_TAG: ref})
        window = None
        if context.assets_def.partitions_def is not None:
            keys = context.partition_keys
            given = Window.of_days(parse_day(keys[0]), parse_day(keys[-1]))
            window = check_window(given, configured.start_date, configured.zone)
        tags = context.run.tags
        refresh, accept = tags.get(FULL_REFRESH_TAG) == "true", read_accept_tag(tags)
        return cls(context.run.run_id, ref, window, accept, refresh, tags.get(RULE_TAG))


def accept_tags(shrink: bool, wiped: bool = False) -> dict[str, str]:
    """Return the tags of a run that accepts fewer rows than are loaded, or loads wiped days; not both."""
    return {ACCEPT_TAG: "shrink" if shrink else "wiped"} if shrink or wiped else {}


def read_accept_tag(tags: Mapping[str, str]) -> Accepting | None:
    """Return what a run with these tags accepts; raises ConfigError for another value."""
    value = tags.get(ACCEPT_TAG)
    if value is None or value in get_args(Accepting):
        return cast("Accepting | None", value)
    raise ConfigError(
        f"the tag {ACCEPT_TAG} of the run is {value!r}",
        unharmed="everything; nothing was written",
        next_step=f"give it one of the values {', '.join(get_args(Accepting))}, or leave it out",
    )


def ref_of(tags: Mapping[str, str]) -> str:
    """Return the ref that a run with these tags reads and writes."""
    return tags.get(REF_TAG) or settings().ref


def partitions_of(tags: Mapping[str, str]) -> str:
    """Return the day or the range `A...B` of a run with these tags; empty if it has none."""
    if first := tags.get(ASSET_PARTITION_RANGE_START_TAG):
        last = tags.get(ASSET_PARTITION_RANGE_END_TAG, first)
        return first if first == last else f"{first}{RANGE_SEPARATOR}{last}"
    return tags.get(PARTITION_NAME_TAG, "")


def partition_tags(window: Window) -> dict[str, str]:
    """Return the tags of a run over the days of `window`; assets without partitions ignore them."""
    first, last = str(window.start), str(window.last)
    if first == last:
        return {PARTITION_NAME_TAG: first}
    return {ASSET_PARTITION_RANGE_START_TAG: first, ASSET_PARTITION_RANGE_END_TAG: last}


def window_of(tags: Mapping[str, str]) -> Window | None:
    """Return the days of a run with these tags; None if it has no partitions."""
    text = partitions_of(tags)
    return Window.parse(text) if text else None
