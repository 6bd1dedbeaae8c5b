"""How old each asset is, against the age that its freshness policy allows."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict

import streamlit as st

from millpond.alerts.days import format_days
from millpond.dashboard.charts import AGE_STATES
from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, format_age
from millpond.dashboard.theme import SYMBOLS
from millpond.naming import agree, pluralize
from millpond.observability.freshness import Age, Freshness, read_freshness
from millpond.observability.partitions import DayState, read_days

TITLE, ICON, ORDER = "Freshness", ":material/schedule:", 60


def render(context: Context) -> None:
    """Show late assets, then all with their age and limit."""
    now = dt.datetime.now(dt.UTC)
    found = read_freshness(context.instance, context.shown, now)
    late = [each for each in found if each.state == Age.LATE]
    days = find_late_days(context)
    if late or days:
        names = {each.asset for each in late} | days.keys()
        st.error(
            f"{len(names)} of {pluralize(len(found), 'asset')} {agree(len(names), 'are')} late.",
            icon=":material/error:",
        )
        for name, text in days.items():
            st.markdown(
                f"[{escape(name)}]({context.links.asset_named(name)}): {escape(text)} not there in time"
            )
    elif found and all(each.state == Age.NEVER for each in found):
        st.info("Nothing is materialized yet.")
    elif found:
        st.success("No asset is late.", icon=":material/check_circle:")
    else:
        st.info("No asset passes the filters.")
        return
    owners = {each.name: each.owners for each in context.shown}
    rows = [_build_row(context, each, owners[each.asset], now, any_late=bool(late)) for each in found]
    context.show_table(rows, "Age of each asset", links={"asset": r"assets/(.*)$"}, shares=("age of limit",))


def find_late_days(context: Context) -> dict[str, str]:
    """Return the late days of the period, by asset."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for each in read_days(context.instance, context.shown, context.filters.list_days()):
        if each.state == DayState.LATE:
            found[each.asset].append(str(each.day))
    return {asset: format_days(days) for asset, days in found.items()}


def _build_row(
    context: Context, each: Freshness, owners: tuple[str, ...], now: dt.datetime, *, any_late: bool
) -> dict[str, object]:
    age = now - each.last if each.last else None
    row: dict[str, object] = {
        "state": f"{SYMBOLS[AGE_STATES[each.state]]} {each.state}",
        "asset": context.links.asset_named(each.asset),
        "owner": ", ".join(owners),
        "age": format_age(age) if age is not None else "",
        "limit": format_age(each.limit) if each.limit else "",
        "age of limit": round(min(age / each.limit, 1.0), 2) if age is not None and each.limit else None,
        "last": each.last and each.last.astimezone(context.settings.zone),
    }
    if any_late:
        row["late since"] = each.late_since and each.late_since.astimezone(context.settings.zone)
    return row
