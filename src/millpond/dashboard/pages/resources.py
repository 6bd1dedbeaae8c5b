"""What the parts of `millpond up` and runs use of the machine."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from millpond.dashboard.charts import draw_usage
from millpond.dashboard.context import Context
from millpond.observability.resources import read_run_usage, read_usage
from millpond.runtime.sampling import DISK, MACHINE

TITLE, ICON, ORDER = "Resources", ":material/memory:", 100
_GIGABYTE = 1e9


def render(context: Context) -> None:
    """Show processor, memory and disk over the latest day, and what runs used."""
    until = dt.datetime.now(dt.UTC)
    since = until - dt.timedelta(days=1)
    usage = read_usage(since, until)
    if not usage:
        st.info("No sample of the last 24 hours: `millpond up` takes them, twice a minute.")
        return
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
    _show_runs(context, since, until)


def _show_runs(context: Context, since: dt.datetime, until: dt.datetime) -> None:
    runs = read_run_usage(since, until)
    st.subheader("Runs", anchor=False)
    if not runs:
        st.caption("No run of the last 24 hours lasted until a sample was taken.")
        return
    rows = [
        {
            "run": context.links.run(each.run),
            "seen": each.first.astimezone(context.settings.zone),
            "cores, average": round(each.cores, 2),
            "memory, largest (MB)": round(each.bytes / 1e6),
        }
        for each in runs
    ]
    context.show_table(rows, "What runs used", links={"run": r"runs/(.{8})"})
