"""The latest runs."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from millpond.dashboard.context import Context

TITLE, ICON, ORDER = "Runs", ":material/play_circle:", 20
_LIMIT = 100


def render(context: Context) -> None:
    """Show the latest runs, with links to Dagster's pages."""
    records = context.instance.get_run_records(limit=_LIMIT)
    if not records:
        st.info("No run yet. `millpond demo` loads demo data; `millpond materialize` starts a run.")
        return
    rows = [
        {
            "run": context.links.run(each.dagster_run.run_id),
            "status": each.dagster_run.status.value.lower(),
            "job": each.dagster_run.job_name,
            "started": each.start_time
            and dt.datetime.fromtimestamp(each.start_time, context.settings.zone).replace(microsecond=0),
            "seconds": round(each.end_time - each.start_time, 1)
            if each.end_time and each.start_time
            else None,
        }
        for each in records
    ]
    st.dataframe(
        rows,
        hide_index=True,
        column_config={"run": st.column_config.LinkColumn(display_text=r".*/([^/]{8})[^/]*$")},
        alt="The latest runs",
    )
