"""GitHub: activity over time and by category, and streaks."""

from __future__ import annotations

from collections import Counter

import plotly.graph_objects as go
import streamlit as st

from millpond.dashboard.context import Context
from millpond.dashboard.text import format_value

TITLE, ICON, ORDER = "GitHub", ":material/code:", 20
CATEGORIES = {
    "code": "code_contributions",
    "collaboration": "collaborations",
    "social": "social_events",
    "documentation": "documentation_events",
    "other": "other_events",
}
LEVELS = ("very_active", "active", "moderate", "light", "inactive")


def render(context: Context) -> None:
    """Show the dashboard for the chosen days."""
    days = context.query(
        "select * from marts.mrt_github_activity_overview where event_date between $first and $last"
        " order by event_date",
        {"first": context.filters.first, "last": context.filters.last},
    )
    if not days:
        st.info("No day of this period has events. `millpond demo` loads some.")
        return
    newest = days[-1]
    with st.container(horizontal=True):
        st.metric("Events", format_value(sum(day["total_events"] or 0 for day in days)), border=True)
        st.metric("Events a day, 7 days", format_value(newest["events_7d_avg"]), border=True)
        st.metric("Streak", format_value(newest["active_streak_days"], "days"), border=True)
        longest = max(day["active_streak_days"] or 0 for day in days)
        st.metric("Longest streak", format_value(longest, "days"), border=True)
    dates = [day["event_date"] for day in days]
    figure = go.Figure(
        [
            go.Bar(name=name, x=dates, y=[day[column] for day in days], marker_color=colour)
            for (name, column), colour in zip(CATEGORIES.items(), context.series, strict=False)
        ]
    )
    figure.add_scatter(
        name="average of 7 days",
        x=dates,
        y=[day["events_7d_avg"] for day in days],
        line={"color": context.series[-1], "width": 3},
    )
    figure.update_layout(barmode="stack", yaxis_title="events", height=360)
    st.subheader("Activity", anchor=False)
    context.show_chart(figure, "Events by day and category")
    left, right = st.columns(2)
    with left:
        st.subheader("Categories", anchor=False)
        sums = {name: sum(day[column] or 0 for day in days) for name, column in CATEGORIES.items()}
        pie = go.Figure(
            go.Pie(labels=list(sums), values=list(sums.values()), hole=0.5, marker={"colors": context.series})
        )
        pie.update_layout(height=300)
        context.show_chart(pie, "Events by category")
    with right:
        st.subheader("Days by level of activity", anchor=False)
        counts = Counter(day["activity_level"] for day in days)
        bars = go.Figure(
            go.Bar(
                x=[counts[level] for level in LEVELS],
                y=[level.replace("_", " ") for level in LEVELS],
                orientation="h",
                marker_color=context.series[0],
            )
        )
        bars.update_yaxes(autorange="reversed")
        bars.update_layout(height=300, xaxis_title="days")
        context.show_chart(bars, "Days by level of activity")
