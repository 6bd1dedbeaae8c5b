"""What people were notified of, whether it reached them, and how it ended."""

from __future__ import annotations

import streamlit as st

from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, escape_prose
from millpond.observability.alerts import AlertLine, count_alerts, list_alert_lines

TITLE, ICON, ORDER = "Alerts", ":material/notifications:", 80
_SHOWN = 20


def render(context: Context) -> None:
    """Show open alerts in full, then the history."""
    since, _ = context.span
    lines = list_alert_lines(since)
    opened = [each for each in lines if each.alert.is_open]
    total = sum(each["alerts"] for each in count_alerts(since))
    if not lines:
        st.success("No alert in this period, and none is open.")
        return
    unheard = [each for each in opened if not each.notified]
    st.subheader(f"Open ({len(opened)})", anchor=False)
    if unheard:
        st.warning(f"{len(unheard)} of them reached nobody yet.", icon=":material/notifications_off:")
    for each in opened[:_SHOWN]:
        _show(context, each)
    if len(opened) > _SHOWN:
        st.caption(f"and {len(opened) - _SHOWN:,} more below")
    st.subheader(f"History ({total:,})", anchor=False)
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
    if total > len(lines):
        st.caption(f"The latest {len(lines):,} of {total:,}; a shorter period shows the others.")


def _show(context: Context, line: AlertLine) -> None:
    alert = line.alert
    with st.container(border=True):
        st.markdown(f"**{escape(alert.title)}**")
        if alert.excerpt:
            st.markdown(escape_prose(alert.excerpt))
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
