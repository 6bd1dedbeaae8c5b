"""How old each asset is, against the age that its freshness policy allows."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from millpond.dashboard.charts import AGE_STATES
from millpond.dashboard.context import Context
from millpond.dashboard.text import format_age
from millpond.dashboard.theme import SYMBOLS
from millpond.observability.freshness import Age, Freshness, read_freshness

TITLE, ICON, ORDER = "Freshness", ":material/schedule:", 60


def render(context: Context) -> None:
    """Show late assets, then all with their age and limit."""
    now = dt.datetime.now(dt.UTC)
    found = read_freshness(context.instance, context.shown, now)
    late = [each for each in found if each.state == Age.LATE]
    if late:
        st.error(f"{len(late)} of {len(found)} assets are late.", icon=":material/error:")
    elif found and all(each.state == Age.NEVER for each in found):
        st.info("Nothing is materialized yet.")
    elif found:
        st.success("No asset is late.", icon=":material/check_circle:")
    else:
        st.info("No asset passes the filters.")
        return
    owners = {each.name: each.owners for each in context.shown}
    rows = [_build_row(context, each, owners[each.asset], now) for each in found]
    context.show_table(rows, "Age of each asset", links={"asset": r"assets/(.*)$"}, shares=("age of limit",))


def _build_row(
    context: Context, each: Freshness, owners: tuple[str, ...], now: dt.datetime
) -> dict[str, object]:
    age = now - each.last if each.last else None
    return {
        "state": f"{SYMBOLS[AGE_STATES[each.state]]} {each.state}",
        "asset": context.links.asset_named(each.asset),
        "age": format_age(age) if age is not None else "",
        "limit": format_age(each.limit) if each.limit else "",
        "age of limit": min(age / each.limit, 1.0) if age is not None and each.limit else None,
        "last": each.last and each.last.astimezone(context.settings.zone),
        "late since": each.late_since and each.late_since.astimezone(context.settings.zone),
        "owner": ", ".join(owners),
    }
