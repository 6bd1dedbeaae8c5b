"""Glucose: the newest reading, time in range, the trend of days, meals, and the profile of a usual day."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import streamlit as st

from millpond.dashboard.context import Context
from millpond.dashboard.text import format_value
from millpond.dashboard.theme import State

TITLE, ICON, ORDER = "Glucose", ":material/monitor_heart:", 10
Row = dict[str, Any]
TARGET = (70, 180)
"""mg/dL within which a reading is in range."""
FIGURES = (
    ("In range, 7 days", "time_in_range_7d_pct", "%", "70 to 180 mg/dL"),
    ("Average, 7 days", "avg_glucose_7d_mg_dl", "mg/dL", None),
    ("GMI, 7 days", "gmi_7d_pct", "%", "Glucose management indicator"),
    ("Variation", "coefficient_of_variation", "%", "Of the newest day"),
)
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def render(context: Context) -> None:
    """Show the dashboard for the chosen days."""
    span = {"first": context.filters.first, "last": context.filters.last}
    days = context.query(
        "select * from marts.mrt_glucose_overview where reading_date between $first and $last"
        " order by reading_date",
        span,
    )
    if not days:
        st.info("No day of this period has readings. `millpond demo` loads some.")
        return
    show_figures(context, days[-1])
    st.subheader("Trend", anchor=False)
    context.show_chart(draw_trend(context, days), "Average glucose by day, with the average of seven days")
    st.subheader("Time below, in and above range", anchor=False)
    context.show_chart(draw_ranges(context, days), "Share of readings below, in and above range, by day")
    show_meals(context, span)
    st.subheader("A usual day", anchor=False)
    profile = context.query(
        """
        select extract(hour from reading_at) + floor(extract(minute from reading_at) / 30) / 2 as hour,
            quantile_cont(glucose_mg_dl, [0.05, 0.25, 0.5, 0.75, 0.95]) as percentiles
        from gold.mrt_glucose_readings where reading_date between $first and $last group by 1 order by 1
        """,
        span,
    )
    context.show_chart(draw_profile(context, profile), "Percentiles of glucose by time of day")
    st.subheader("By hour and weekday, last 30 days", anchor=False)
    hours = context.query("select * from marts.mrt_glucose_hourly_patterns")
    context.show_chart(draw_hours(hours), "Median glucose by hour and weekday")


def show_figures(context: Context, day: Row) -> None:
    """Show the newest reading, and the figures of the latest seven days."""
    newest = context.query(
        "select glucose_mg_dl, direction, glucose_change_mg_dl, reading_at from gold.mrt_glucose_readings"
        " order by reading_at desc limit 1"
    )
    with st.container(horizontal=True):
        for each in newest:
            change = each["glucose_change_mg_dl"]
            at = each["reading_at"].astimezone(context.settings.zone)
            st.metric(
                f"Reading of {at:%d %b %H:%M}",
                format_value(each["glucose_mg_dl"], "mg/dL"),
                None if change is None else f"{change:+} mg/dL",
                delta_color="off",
                border=True,
            )
        for label, column, unit, about in FIGURES:
            st.metric(label, format_value(day[column], unit), help=about, border=True)


def draw_trend(context: Context, days: list[Row]) -> go.Figure:
    """Return the average of each day and of seven days, over the target range."""
    dates = [day["reading_date"] for day in days]
    one, week, *_ = context.series
    figure = go.Figure()
    figure.add_hrect(*TARGET, fillcolor=context.colour("fine"), opacity=0.12, line_width=0)
    figure.add_scatter(name="day", x=dates, y=[day["avg_glucose_mg_dl"] for day in days], line_color=one)
    figure.add_scatter(
        name="7 days",
        x=dates,
        y=[day["avg_glucose_7d_mg_dl"] for day in days],
        line={"color": week, "width": 3},
    )
    figure.update_layout(yaxis_title="mg/dL", height=320)
    return figure


def show_meals(context: Context, span: dict[str, Any]) -> None:
    """Show how glucose rose after the meals of the chosen days, if there are any."""
    meals = context.query(
        "select * from marts.mrt_meal_response where response_date between $first and $last"
        " order by response_date",
        span,
    )
    if meals:
        st.subheader("After meals", anchor=False)
        context.show_chart(draw_meals(context, meals), "Rise of glucose after meals by day")


def draw_meals(context: Context, meals: list[Row]) -> go.Figure:
    """Return the mean rise within two hours after the meals of a day and of seven days."""
    dates = [day["response_date"] for day in meals]
    one, week, *_ = context.series
    figure = go.Figure(
        go.Bar(
            name="day",
            x=dates,
            y=[day["avg_glucose_rise_mg_dl"] for day in meals],
            customdata=[[day["meal_count"], day["carbs_g"], day["max_peak_glucose_mg_dl"]] for day in meals],
            hovertemplate="%{y} mg/dL after %{customdata[0]} meals of %{customdata[1]} g carbohydrates,"
            " peak %{customdata[2]} mg/dL",
            marker_color=one,
        )
    )
    figure.add_scatter(
        name="7 days",
        x=dates,
        y=[day["avg_glucose_rise_7d_mg_dl"] for day in meals],
        line={"color": week, "width": 3},
    )
    figure.update_layout(yaxis_title="rise in mg/dL", height=300)
    return figure


def draw_ranges(context: Context, days: list[Row]) -> go.Figure:
    """Return the shares below, in and above range as stacked bars."""
    parts: tuple[tuple[str, str, State], ...] = (
        ("below 70", "time_below_range_pct", "failed"),
        ("70 to 180", "time_in_range_pct", "fine"),
        ("above 180", "time_above_range_pct", "late"),
    )
    dates = [day["reading_date"] for day in days]
    figure = go.Figure(
        [
            go.Bar(name=name, x=dates, y=[day[column] for day in days], marker_color=context.colour(state))
            for name, column, state in parts
        ]
    )
    figure.update_layout(barmode="stack", yaxis_title="% of readings", height=300)
    return figure


def draw_profile(context: Context, profile: list[Row]) -> go.Figure:
    """Return the median by time of day within the bands of 25 to 75 and 5 to 95 percent of readings."""
    hours = [each["hour"] for each in profile]
    bands = [[each["percentiles"][n] for each in profile] for n in range(5)]
    colour = context.series[0]
    figure = go.Figure()
    figure.add_hrect(*TARGET, fillcolor=context.colour("fine"), opacity=0.12, line_width=0)
    for low, high, name, opacity in ((0, 4, "5 to 95 %", 0.18), (1, 3, "25 to 75 %", 0.35)):
        figure.add_scatter(
            name=name,
            x=[*hours, *reversed(hours)],
            y=[*bands[high], *reversed(bands[low])],
            fill="toself",
            fillcolor=colour,
            opacity=opacity,
            mode="none",
            hoverinfo="skip",
        )
    figure.add_scatter(name="median", x=hours, y=bands[2], line={"color": colour, "width": 3})
    figure.update_layout(yaxis_title="mg/dL", height=340)
    figure.update_xaxes(title="hour of day", dtick=3, range=[0, 23.5])
    return figure


def draw_hours(hours: list[Row]) -> go.Figure:
    """Return the median by hour and weekday as a heat map."""
    of = {(each["day_of_week"], each["hour_of_day"]): each["median_glucose_mg_dl"] for each in hours}
    figure = go.Figure(
        go.Heatmap(
            x=list(range(24)),
            y=WEEKDAYS,
            z=[[of.get((day, hour)) for hour in range(24)] for day in range(1, 8)],
            colorscale=[[0, "#cf222e"], [0.2, "#1a7f37"], [0.55, "#d29922"], [1, "#8250df"]],
            zmin=50,
            zmax=300,
            colorbar={"title": "mg/dL"},
            hovertemplate="%{y} %{x}:00: %{z} mg/dL<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(height=300, xaxis_title="hour of day")
    return figure
