"""Which days are there, late, missing, quarantined or out of reach, and how many rows they have."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from millpond.dashboard.charts import DAY_STATES, draw_days, draw_rows
from millpond.dashboard.context import Context
from millpond.observability.partitions import DayState, read_days

TITLE, ICON, ORDER = "Days", ":material/calendar_month:", 40
_WHY = {
    DayState.FAILED: "",
    DayState.LATE: "not written since its end, and its limit has passed",
    DayState.MISSING: "not there",
    DayState.UNREACHABLE: "the source no longer serves it",
}
"""The days that need something, and why where no error says it."""


def render(context: Context) -> None:
    """Show the calendar, the days that need something, and rows by day."""
    days = read_days(context.instance, context.shown, context.filters.list_days())
    today = context.today
    days = [each for each in days if each.day < today or each.state != DayState.MISSING]
    if not days:
        st.info("No asset with daily partitions passes the filters.")
        return
    counts = Counter(each.state for each in days)
    legend = [
        f'<span style="color: {context.colour(state)}">■</span> {kind} {counts[kind]:,}'
        for kind, state in DAY_STATES.items()
        if state and counts[kind]
    ]
    st.html(" &nbsp; ".join(legend) or "Nothing was loaded in this period.")
    names = [each.name for each in context.shown if each.daily]
    context.show_chart(draw_days(days, names, context.scheme), "State of each day of each asset")
    troubled = [each for each in days if each.state in _WHY]
    st.subheader(f"Days that need something ({len(troubled)})", anchor=False)
    if troubled:
        rows = [
            {
                "asset": context.links.asset_named(each.asset, partition=str(each.day)),
                "day": each.day,
                "state": str(each.state),
                "why": each.error or _WHY[each.state],
            }
            for each in troubled
        ]
        context.show_table(rows, "Days that need something", links={"asset": r"assets/(.*)\?"})
    else:
        st.success("No day is late, missing, failed or out of reach.")
    st.subheader("Rows loaded by day", anchor=False)
    raw = {each.name for each in context.shown if each.layer == "raw"}
    loaded = [each for each in days if each.asset in raw] or days
    context.show_chart(
        draw_rows(loaded, context.series, context.filters.list_days()), "Rows of each day by asset"
    )
