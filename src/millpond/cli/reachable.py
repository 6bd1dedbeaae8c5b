"""Materializing over days that a source serves no more: these are left out, as a backfill leaves them out."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import dagster as dg
import typer

from millpond.backfill.plan import Plan, State
from millpond.backfill.planning import make_plan
from millpond.backfill.progress import RunOutcome
from millpond.backfill.selection import selected
from millpond.cli.progress import run_with_progress
from millpond.partitions import Window, contiguous, instant
from millpond.resources.instance import instance
from millpond.resources.record import REACH
from millpond.settings import settings

_BEYOND_REACH = "BeyondReach"


def materialize_reachable(
    definitions: dg.Definitions,
    selection: str,
    window: Window,
    *,
    quiet: bool,
    ref: str,
    tags: Mapping[str, str],
) -> RunOutcome:
    """Materialize `selection` over `window` in one run; in several where days are beyond a source's reach.

    Such days are named and skipped, which is no failure; the assets of the other days are made.
    """

    def run(what: str, days: Window) -> RunOutcome:
        return run_with_progress(what, days, quiet=quiet, ref=ref, tags=tags)

    def plan(*, force: bool) -> Plan:
        with instance() as recording:
            return make_plan(
                selection, window.days, instance=recording, definitions=definitions, ref=ref, force=force
            )

    def run_planned(planned: Plan) -> list[RunOutcome]:
        if not quiet:
            for line in skipped(planned):
                typer.echo(line)
        return [run(",".join(c.assets + c.whole), c.window or window) for c in planned.chunks]

    outcomes = run_planned(plan(force=True)) if _exceeds_reach(definitions, selection, window) else None
    outcomes = [run(selection, window)] if outcomes is None else outcomes
    failed = [outcome for outcome in outcomes if not outcome.success]
    if failed and all(_only_beyond_reach(outcome) for outcome in failed):
        settled = [replace(o, success=True, failures=(), missing=()) for o in outcomes]
        outcomes = settled + run_planned(plan(force=False))
    return _combined(outcomes)


def skipped(planned: Plan) -> list[str]:
    """Return a line for each asset of which days are left out, with the reason."""
    days: defaultdict[tuple[str, str], list[dt.date]] = defaultdict(list)
    for item in planned.items:
        if item.partition and (item.state is State.UNREACHABLE or (not item.todo and "reach" in item.reason)):
            days[item.asset, item.reason].append(item.partition)
    return [
        f"  – {asset}: {', '.join(map(str, contiguous(found)))} skipped, {reason}"
        for (asset, reason), found in days.items()
    ]


def _exceeds_reach(definitions: dg.Definitions, selection: str, window: Window) -> bool:
    graph, now = definitions.resolve_asset_graph(), dt.datetime.now(dt.UTC)
    for key in selected(selection, graph):
        reach = graph.get(key).metadata.get(REACH)
        days = reach.value if isinstance(reach, dg.IntMetadataValue) else reach
        if days and instant(window.start, settings().zone) < now - dt.timedelta(days=days):
            return True
    return False


def _only_beyond_reach(outcome: RunOutcome) -> bool:
    return bool(outcome.failures) and all(failure.error == _BEYOND_REACH for failure in outcome.failures)


def _combined(outcomes: list[RunOutcome]) -> RunOutcome:
    """Return several runs as one outcome; with no run, as one that had nothing to do."""
    if len(outcomes) == 1:
        return outcomes[0]
    made = tuple(asset for outcome in outcomes for asset in outcome.assets)
    names = {asset.asset for asset in made}
    return RunOutcome(
        run_id=",".join(outcome.run_id for outcome in outcomes),
        success=all(outcome.success for outcome in outcomes),
        seconds=sum(outcome.seconds for outcome in outcomes),
        assets=made,
        failures=tuple(failure for outcome in outcomes for failure in outcome.failures),
        checks=tuple(check for outcome in outcomes for check in outcome.checks),
        missing=tuple(name for outcome in outcomes for name in outcome.missing if name not in names),
    )
