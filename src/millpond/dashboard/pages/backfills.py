"""Backfills with their progress."""

from __future__ import annotations

import streamlit as st

from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, format_seconds
from millpond.observability.backfills import BackfillLine, list_backfill_lines

TITLE, ICON, ORDER = "Backfills", ":material/history:", 70


def render(context: Context) -> None:
    """Show running backfills with a bar each, then the latest ones."""
    found = list_backfill_lines()
    if not found:
        st.info(
            'No backfill yet. `millpond backfill "*" --last 30` runs what is missing of the last 30 days.'
        )
        return
    for each in found:
        if each.state == "running":
            _show_progress(each)
    rows = [
        {
            "backfill": context.links.backfill(each.id),
            "state": each.state,
            "selection": each.selection,
            "first": each.first,
            "last": each.last,
            "done": each.share,
            "failed": each.failed,
            "partitions": each.total,
            "took": format_seconds(each.seconds),
            "started": each.started.astimezone(context.settings.zone),
        }
        for each in found
    ]
    context.show_table(
        rows, "Backfills", links={"backfill": r"/([^/]*)$"}, shares=("done",), counts=("failed", "partitions")
    )


def _show_progress(each: BackfillLine) -> None:
    left = f", {format_seconds(each.left)} left" if each.left is not None else ""
    failed = f", {each.failed:,} failed" if each.failed else ""
    text = f"{each.id}: {each.selection}, {each.done:,} of {each.total:,} partitions{failed}{left}"
    st.progress(each.share, escape(text))
