"""The tables of the lake: size, files, snapshots and growth; and its branches."""

from __future__ import annotations

import streamlit as st

from millpond.dashboard.charts import draw_growth
from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, format_bytes
from millpond.lake.refs import list_refs
from millpond.observability.lake import read_tables

TITLE, ICON, ORDER = "Lake", ":material/water:", 90
_LARGEST = 8


def render(context: Context) -> None:
    """Show totals, tables, growth of the largest, and branches."""
    tables = read_tables(context.settings.ref)
    if not tables:
        st.info("The lake has no tables yet. `millpond demo` fills it with demo data.")
        return
    with st.container(horizontal=True):
        st.metric("Tables", f"{len(tables):,}", border=True)
        st.metric("Rows", f"{sum(each.rows for each in tables):,}", border=True)
        size = format_bytes(sum(each.bytes for each in tables))
        st.metric("Size", size, help="Of the latest snapshots.", border=True)
        st.metric("Files", f"{sum(each.files for each in tables):,}", border=True)
        st.metric("Snapshots", f"{sum(each.snapshots for each in tables):,}", border=True)
    small = [each.name for each in tables if each.has_small_files]
    if small:
        st.warning(
            f"Many small files: {escape(', '.join(small))}. `millpond maintain` shows what can be cleaned up."
        )
    rows = [
        {
            "table": each.name,
            "rows": each.rows,
            "size": each.bytes,
            "files": each.files,
            "snapshots": each.snapshots,
            "changed": each.changed and each.changed.astimezone(context.settings.zone),
        }
        for each in tables
    ]
    context.show_table(rows, "Tables of the lake", counts=("rows", "files", "snapshots"), sizes=("size",))
    largest = sorted(tables, key=lambda each: each.bytes, reverse=True)[:_LARGEST]
    st.subheader("Growth of the largest tables", anchor=False)
    context.show_chart(draw_growth(largest, context.series), "Bytes of the largest tables after each write")
    _show_branches(context)


def _show_branches(context: Context) -> None:
    branches = [each for each in list_refs() if each.base is not None]
    st.subheader(f"Branches ({len(branches)})", anchor=False)
    if not branches:
        st.markdown("None. `millpond branch create NAME` makes one.")
        return
    rows = [
        {
            "branch": each.name,
            "kind": each.state,
            "base": each.base,
            "changed tables": each.changed,
            "created": each.created_at.astimezone(context.settings.zone),
            "kept because": each.kept,
        }
        for each in branches
    ]
    context.show_table(rows, "Branches")
