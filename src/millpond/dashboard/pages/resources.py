"""What the parts of `millpond up` and runs use of the machine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import streamlit as st

from millpond.dashboard.charts import draw_usage
from millpond.dashboard.context import Context
from millpond.dashboard.text import format_seconds
from millpond.observability.resources import Usage, read_run_usage, read_usage
from millpond.observability.runs import list_runs
from millpond.runtime.sampling import DISK, MACHINE

TITLE, ICON, ORDER = "Resources", ":material/memory:", 100
_GIGABYTE = 1e9


def render(context: Context) -> None:
    """Show processor, memory and disk over the latest day, and what runs used."""
    until = dt.datetime.now(dt.UTC)
    since = until - dt.timedelta(days=1)
    usage = read_usage(since, until)
    if usage:
        _show_parts(context, usage)
    else:
        st.info("No sample of the last 24 hours: `millpond up` takes them, twice a minute.")
    _show_runs(context, since, until)


def _show_parts(context: Context, usage: Sequence[Usage]) -> None:
    newest = {each.part: each for each in usage}
    with st.container(horizontal=True):
        if machine := newest.get(MACHINE):
            st.metric("Cores in use", f"{machine.cores:.1f}", border=True)
            st.metric("Memory in use", f"{machine.bytes / _GIGABYTE:.1f} GB", border=True)
        if disk := newest.get(DISK):
            st.metric("Disk in use", f"{disk.bytes / _GIGABYTE:.1f} GB", border=True)
        st.metric("Parts", len(newest.keys() - {MACHINE, DISK}), border=True)
    parts = [each for each in usage if each.part not in (MACHINE, DISK)]
    st.subheader("Processor, last 24 hours", anchor=False)
    cores = draw_usage(parts, context.series, lambda each: each.cores, "cores")
    context.show_chart(cores, "Processor cores by part")
    st.subheader("Memory, last 24 hours", anchor=False)
    memory = draw_usage(parts, context.series, lambda each: each.bytes, "bytes")
    context.show_chart(memory, "Bytes of memory by part")
    st.subheader("Disk, last 24 hours", anchor=False)
    taken = [each for each in usage if each.part == DISK]
    context.show_chart(
        draw_usage(taken, context.series, lambda each: each.bytes, "bytes"),
        "Bytes of the file system of the home",
    )


def _show_runs(context: Context, since: dt.datetime, until: dt.datetime) -> None:
    runs = read_run_usage(since, until)
    st.subheader("Runs", anchor=False)
    if not runs:
        st.caption("No run of the last 24 hours.")
        return
    seconds = {each.id: each.seconds for each in list_runs(context.instance, since, until)}
    rows = [
        {
            "run": context.links.run(each.run),
            "measured": each.first.astimezone(context.settings.zone),
            "took": format_seconds(took) if (took := seconds.get(each.run)) else "",
            "processor time": format_seconds(each.cores * took) if took else "",
            "cores, average": round(each.cores, 2),
            "memory, largest (MB)": round(each.bytes / 1e6),
        }
        for each in runs
    ]
    context.show_table(rows, "What runs used", links={"run": r"runs/(.{8})"})
