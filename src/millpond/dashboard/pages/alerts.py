"""What people were notified of, whether it reached them, and how it ended."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from millpond.alerts.outbox import AlertLine, count_alerts, list_alerts
from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, escape_prose
from millpond.observability.sensitive import hide_text
from millpond.transform.manifest import load_project_or_last
from millpond.transform.sensitive import find_sensitive_columns

TITLE, ICON, ORDER = "Alerts", ":material/notifications:", 80
_SHOWN = 20


def render(context: Context) -> None:
    """Show open alerts in full, then the history."""
    since, _ = context.span
    lines, counts = list_alerts(since=since), count_alerts(since)
    if not lines:
        st.success("No alert in this period, and none is open.")
        return
    st.subheader(f"Open ({counts.opened:,})", anchor=False)
    if counts.unheard:
        channels = context.links.runbook("set-up-a-channel")
        st.warning(
            f"{counts.unheard:,} of them reached nobody yet, only the log. [Set up a channel]({channels})",
            icon=":material/notifications_off:",
        )
    shown = [each for each in lines if each.alert.is_open][:_SHOWN]
    sensitive = find_sensitive_columns(load_project_or_last(context.settings))
    for each in shown:
        _show(context, each, sensitive)
    if counts.opened > len(shown):
        st.caption(f"and {counts.opened - len(shown):,} more; the newest of them are in the table below")
    st.subheader(f"History ({counts.every:,})", anchor=False)
    rows = [
        {
            "alert": f"#{each.alert.id}",
            "severity": each.alert.severity,
            "title": each.alert.title,
            "state": "open" if each.alert.is_open else "resolved",
            "notified": _describe_delivery(each),
            "first": each.alert.created_at and each.alert.created_at.astimezone(context.settings.zone),
            "times": each.alert.times,
            "resolution": each.alert.resolution,
            "run": context.links.run(each.alert.run_id) if each.alert.run_id else "",
        }
        for each in lines
    ]
    context.show_table(rows, "Alerts", links={"run": r"runs/(.{8})"})
    if counts.every > len(lines):
        st.caption(
            f"The latest {len(lines):,} of {counts.every:,}; `millpond alerts list --all` has the others."
        )


def _show(context: Context, line: AlertLine, sensitive: Collection[str]) -> None:
    alert = line.alert
    with st.container(border=True):
        st.markdown(f"**{escape(alert.title)}**")
        if reason := hide_text(alert.excerpt, [name for name in alert.assets if name in sensitive]):
            st.markdown(escape_prose(reason))
        created = alert.created_at.astimezone(context.settings.zone) if alert.created_at else None
        said = [f"since {created:%d %b %H:%M}"] if created else []
        said += [f"owner {', '.join(alert.owners)}"] if alert.owners else []
        said.append(_describe_delivery(line))
        st.caption(escape(" · ".join(said)))
        st.markdown(f"Next: {escape_prose(alert.next_step)}")
        with st.container(horizontal=True):
            if alert.run_id:
                st.link_button("Run in Dagster", context.links.run(alert.run_id))
            st.link_button("Runbook", context.links.runbook(alert.kind))


def _describe_delivery(line: AlertLine) -> str:
    if not line.channels:
        return "no channel"
    return ", ".join(f"{channel}: {state}" for channel, state in sorted(line.channels.items()))
