"""How long assets take, and which runs were unusually slow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import streamlit as st

from millpond.dashboard.charts import draw_durations
from millpond.dashboard.context import Context
from millpond.dashboard.text import format_seconds
from millpond.observability.durations import Duration, read_durations

TITLE, ICON, ORDER = "Durations", ":material/timer:", 30


def render(context: Context) -> None:
    """Show a point for each run and asset, and the outliers as a table."""
    since, until = context.span
    found = [each for each in read_durations(context.instance, context.shown, since) if each.at < until]
    if not found:
        st.info("Nothing was materialized in this period.")
        return
    context.show_chart(draw_durations(found, context.series, context.scheme), "Duration of each asset by run")
    _show_assets(context, found)
    slow = [each for each in found if each.outlier]
    st.subheader(f"Unusually slow ({len(slow)})", anchor=False)
    if not slow:
        st.caption("None: far above the median of its asset is what counts as slow, from five runs on.")
        return
    rows = [
        {
            "asset": context.links.asset_named(each.asset),
            "run": context.links.run(each.run),
            "at": each.at.astimezone(context.settings.zone),
            "duration": format_seconds(each.seconds),
            "days": each.days,
        }
        for each in reversed(slow)
    ]
    context.show_table(rows, "Unusually slow runs", links={"asset": r"assets/(.*)$", "run": r"runs/(.{8})"})


def _show_assets(context: Context, found: Sequence[Duration]) -> None:
    by_asset: defaultdict[str, list[float]] = defaultdict(list)
    for each in found:
        by_asset[each.asset].append(each.seconds / each.days)
    st.subheader("For a day of data, by asset", anchor=False)
    slowest_first = sorted(by_asset.items(), key=lambda each: -median(each[1]))
    rows = [
        {
            "asset": context.links.asset_named(asset),
            "median": format_seconds(median(seconds)),
            "longest": format_seconds(max(seconds)),
            "runs": len(seconds),
        }
        for asset, seconds in slowest_first
    ]
    context.show_table(rows, "Durations by asset", links={"asset": r"assets/(.*)$"}, counts=("runs",))
