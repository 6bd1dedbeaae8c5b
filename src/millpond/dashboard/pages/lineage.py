"""What is made from what, coloured by state."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from millpond.dashboard.charts import AGE_STATES, write_lineage
from millpond.dashboard.context import Context
from millpond.observability.freshness import read_freshness

TITLE, ICON, ORDER = "Lineage", ":material/account_tree:", 110


def render(context: Context) -> None:
    """Draw the assets that pass the filters, from left to right."""
    if not context.shown:
        st.info("No asset passes the filters.")
        return
    ages = read_freshness(context.instance, context.shown, dt.datetime.now(dt.UTC))
    states = {each.asset: AGE_STATES[each.state] for each in ages}
    st.graphviz_chart(write_lineage(context.shown, states, context.scheme), width="content")
    st.caption("Green is fresh, yellow nearly late, red late, grey never materialized.")
    st.link_button("In Dagster", context.links.lineage())
