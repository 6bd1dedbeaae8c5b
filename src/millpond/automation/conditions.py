"""Dagster's automation conditions of all assets.

A raw table is loaded by its cadence. Its downstream assets follow in the same tick, and so in the same run.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import dagster as dg
from dagster import AutomationCondition as When
from dagster import AutomationContext

from millpond.automation.chains import Chain, find_upstream
from millpond.instance.unreachable import find_skipped_days
from millpond.internals.dagster import AssetKeyPartitionKey, EntitySubset, SubsetAutomationCondition, record
from millpond.resources.run import BACKFILL_TAG

EXEMPTION = "automation"
"""Metadata that says why an asset has no automation condition."""

_Condition = When[Any]


@record
class RequestedThisTick(SubsetAutomationCondition[dg.AssetKey]):
    """True for what is requested in this tick, also for an asset partitioned differently than its parent.

    Dagster's `will_be_requested` leaves those out, as it would put them into another run; here one run of a
    chain contains both, see `sensors.py`.
    """

    @property
    def name(self) -> str:
        """Its name in Dagster's pages."""
        return "requested_this_tick"

    def compute_subset(self, context: AutomationContext[dg.AssetKey]) -> EntitySubset[dg.AssetKey]:
        """Return the partitions of the asset that were requested so far in this tick."""
        return context.request_subsets_by_key.get(context.key) or context.get_empty_subset()


@record
class BeyondReach(SubsetAutomationCondition[dg.AssetKey]):
    """True for days that the source no longer served when they were tried."""

    @property
    def name(self) -> str:
        """Its name in Dagster's pages."""
        return "beyond_reach"

    def compute_subset(self, context: AutomationContext[dg.AssetKey]) -> EntitySubset[dg.AssetKey]:
        """Return the days that were skipped since they were last materialized, if ever."""
        asset = context.key.to_user_string()
        found = find_skipped_days(context.asset_graph_view.instance, [asset]).get(asset, set())
        keys = {AssetKeyPartitionKey(context.key, str(day)) for day in found}
        view = context.asset_graph_view
        return view.get_asset_subset_from_asset_partitions(context.key, keys)


def add_conditions(
    assets: Sequence[dg.AssetsDefinition],
    chains: Sequence[Chain],
    timezone: str,
    apart: Collection[dg.AssetKey] = (),
) -> list[dg.AssetsDefinition]:
    """Return `assets`, each with its condition or with the reason why it has none.

    A condition or reason that an asset already has stays. Those `apart` are never in one run with a chain;
    they follow their upstream assets once these are materialized.
    """
    given = frozenset().union(*(chain.given for chain in chains))
    parents = {spec.key: [dep.asset_key for dep in spec.deps] for each in assets for spec in each.specs}

    def add_condition(spec: dg.AssetSpec) -> dg.AssetSpec:
        if spec.automation_condition or EXEMPTION in spec.metadata:
            return spec
        if spec.key in apart:
            read = find_upstream(spec.key, parents)
            return _add_eager_condition(spec, [chain for chain in chains if chain.assets & read])
        if spec.key in given:
            crons = {
                each.cron for chain in chains if spec.key in chain.given for each in chain.cadences.values()
            }
            condition = _build_once_condition(sorted(crons), timezone)
        elif chain := next((each for each in chains if spec.key in each.assets), None):
            if cadence := chain.cadences.get(spec.key):
                condition = _build_cadence_condition(cadence.cron, chain, timezone)
            elif not spec.deps:
                return spec.merge_attributes(metadata={EXEMPTION: "none: its source declares no cadence"})
            else:
                condition = _build_follow_condition(spec, chain)
        else:
            return spec.merge_attributes(metadata={EXEMPTION: "none: nothing upstream of it has a cadence"})
        return spec.replace_attributes(automation_condition=condition)

    return [each.map_asset_specs(add_condition) for each in assets]


def _add_eager_condition(spec: dg.AssetSpec, chains: Sequence[Chain]) -> dg.AssetSpec:
    """Add Dagster's own `eager` condition, over as many days as the chain looks back."""
    days = isinstance(spec.partitions_def, dg.DailyPartitionsDefinition)
    if not chains or (spec.partitions_def and not days):
        why = "its partitions are not days" if chains else "nothing upstream of it has a cadence"
        return spec.merge_attributes(metadata={EXEMPTION: f"none: {why}"})
    condition: Any = When.eager()
    if days:
        reach = max(_find_lookback(chain) for chain in chains)
        condition = condition.replace(When.in_latest_time_window(), When.in_latest_time_window(reach))
    return spec.replace_attributes(automation_condition=condition)


def _build_ticks(crons: Iterable[str], timezone: str) -> _Condition:
    first, *others = [When.cron_tick_passed(cron, timezone) for cron in crons]
    for other in others:
        first = first | other
    return first.since(When.newly_requested() | When.initial_evaluation())


def _build_cadence_condition(cron: str, chain: Chain, timezone: str) -> _Condition:
    """At each tick: today, and late days that were never tried, unless they are being loaded."""
    tried = When.execution_failed() | BeyondReach()
    never = When.in_latest_time_window(_find_lookback(chain)) & When.missing() & ~tried
    due = When.in_latest_time_window() | never.with_label("a late day that was never tried")
    return (due & _build_ticks([cron], timezone) & ~When.in_progress()).with_label(f"at {cron} in {timezone}")


def _build_once_condition(crons: Sequence[str], timezone: str) -> _Condition:
    """Once, with the first tick of a raw table that an asset downstream reads too."""
    return (When.missing() & _build_ticks(crons, timezone) & ~When.in_progress()).with_label(
        f"once, at {' or '.join(crons)} in {timezone}"
    )


def _build_follow_condition(spec: dg.AssetSpec, chain: Chain) -> _Condition:
    """When an input changed or is requested, unless it failed a blocking check."""
    read = dg.AssetSelection.assets(*chain.given) if chain.given else None
    now = RequestedThisTick()
    changed = When.newly_updated() & ~When.executed_with_root_target()
    changed &= ~When.executed_with_tags(tag_keys={BACKFILL_TAG})
    about_to, updated = When.any_deps_match(now), When.any_deps_match(changed)
    if read:
        about_to, updated = about_to.ignore(read), updated.ignore(read)
    # `about_to` is outside `since_last_handled`, which resets when the asset itself was just materialized.
    due = (
        about_to.with_label("an input is requested")
        | updated.with_label("an input changed").since_last_handled()
    )
    refused = When.any_deps_match(
        When.any_checks_match(When.check_failed(), blocking_only=True) & ~now
    ).with_label("an input failed a blocking check")
    condition = due & ~refused
    if read:
        condition &= ~When.any_deps_match(When.missing() & ~now).allow(read)
    if spec.key in chain.daily:
        condition &= When.in_latest_time_window(_find_lookback(chain)) & ~When.in_progress()
    else:
        condition &= about_to | ~When.in_progress()
    return condition.with_label("follows its inputs")


def _find_lookback(chain: Chain) -> dt.timedelta:
    """Return how far back from the end of today conditions look: as far as the daily schedule."""
    return dt.timedelta(days=max(chain.lookback_days, chain.weekend_lookback_days) + 2)
