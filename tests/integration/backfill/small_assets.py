"""Three daily assets and a mart that make nothing, for tests of what carries a backfill out."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg

from millpond.backfill.plan import Chunk, Item, Plan, State
from millpond.partitions import Window
from millpond.runs.run import JOB

DAYS = dg.DailyPartitionsDefinition(start_date="2024-01-01", end_offset=1)
FIRST = dt.date(2026, 10, 1)
DAILY, MART = ("raw", "silver", "gold"), "mart"

seen: list[tuple[str, list[str]]] = []
"""Asset and partition keys of each step that ran."""
broken: dict[str, Callable[[list[str]], None]] = {}
"""What a step does before it is done, by asset."""


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def days(count: int) -> Window:
    return Window.of_days(FIRST, day(count - 1))


def _daily(name: str, deps: list[str]) -> dg.AssetsDefinition:
    @dg.asset(name=name, deps=deps, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    def asset(context: dg.AssetExecutionContext) -> None:
        keys = list(context.partition_keys)
        seen.append((name, keys))
        broken.get(name, lambda _: None)(keys)
        for key in keys:
            context.add_asset_metadata({"rows_loaded": 10, "rows_quarantined": 1}, partition_key=key)

    return asset


@dg.asset(name=MART, deps=["gold"])
def mart() -> None:
    seen.append((MART, []))
    broken.get(MART, lambda _: None)([])


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[_daily("raw", []), _daily("silver", ["raw"]), _daily("gold", ["silver"]), mart],
        jobs=[dg.define_asset_job(JOB, selection="*")],
    )


def plan(window: Window, *assets: str, chunk_days: int = 100, code: str = "1", ref: str = "main") -> Plan:
    """Return a plan that does every asset over every day."""
    names = assets or (*DAILY, MART)
    daily, whole = [a for a in names if a != MART], [a for a in names if a == MART]
    items = [Item(a, d, State.MISSING, "missing", todo=True) for d in window.days for a in daily]
    items += [Item(a, None, State.MISSING, "missing", todo=True) for a in whole]
    chunks = [Chunk(n, tuple(daily), part) for n, part in enumerate(window.chunks(chunk_days), 1) if daily]
    if whole:
        chunks.append(Chunk(len(chunks) + 1, tuple(whole), None))
    return Plan(",".join(names), ref, code, tuple(items), tuple(chunks), None)


def fails_on(*bad: dt.date, error: Any = ValueError) -> Callable[[list[str]], None]:
    """Return what a step does that cannot stand certain days, without saying which."""

    def step(keys: list[str]) -> None:
        if {str(d) for d in bad} & set(keys):
            raise error("something is wrong")

    return step
