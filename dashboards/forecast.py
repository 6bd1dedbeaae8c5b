"""Forecast: the model that serves, how good it is beside two naive ones, and what waits for a person."""

from __future__ import annotations

import datetime as dt
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, escape_prose

TITLE, ICON, ORDER = "Forecast", ":material/online_prediction:", 30
Row = dict[str, Any]
NAME = "glucose"
LOW = 70
"""mg/dL below which a person should be warned."""
ERRORS = {
    "model": "mae_mg_dl",
    "same as now": "same_as_now_mae_mg_dl",
    "linear": "linear_mae_mg_dl",
}


METRICS = {
    "error, mg/dL": "mae",
    "same as now": "baseline.same_as_now.mae",
    "linear": "baseline.linear.mae",
}


def render(context: Context) -> None:
    """Show the models, and for the chosen days what was forecast and what happened."""
    show_models()
    days = context.query(
        "select * from marts.mrt_forecast_quality where target_date between $first and $last"
        " order by target_date, model_hash",
        {"first": context.filters.first, "last": context.filters.last},
    )
    if days:
        show_quality(context, merge_models(days))
    else:
        st.info("Nothing was forecast for this period: no model was approved when its days were made.")
    st.subheader("What runs by itself, and what waits for a person", anchor=False)
    show_steps()


def show_models() -> None:
    """Show which model serves, which ones wait, and every decision."""
    from forecast.places import find_places, list_models
    from forecast.registry import find_serving, find_state, read_decisions

    decisions = read_decisions(NAME)
    serving = find_serving(decisions)
    models = [(model, find_state(model, decisions)) for _, model in list_models(find_places(NAME))]
    waiting = [model for model, state in models if state == "waiting"]
    if serving:
        who = f"{serving.decided_by} approved it on {serving.shown_at}"
        text = f"Model {serving.short} serves. {who}: {serving.reason}"
        st.success(escape(text), icon=":material/verified_user:")
    else:
        st.warning("No model is approved, so nothing is forecast.", icon=":material/person_alert:")
    if waiting:
        shorts = ", ".join(f"`{model.short}`" for model in waiting)
        st.info(
            f"Waits for a person: {shorts}. `millpond forecast compare` shows the difference,"
            " `millpond forecast approve` has one serve.",
            icon=":material/person:",
        )
    elif not models:
        st.info("There is no model yet. `millpond forecast run` makes one.")
    if models:
        st.subheader("Models", anchor=False)
        st.dataframe([describe_model(model, state) for model, state in models], hide_index=True, alt="Models")
    if decisions:
        st.subheader("Decisions", anchor=False)
        rows = [
            {"at": d.shown_at, "decision": d.action, "model": d.short, "by": d.decided_by, "reason": d.reason}
            for d in reversed(decisions)
        ]
        st.dataframe(rows, hide_index=True, alt="Decisions, the latest first")


def merge_models(rows: list[Row]) -> list[Row]:
    """Return a row for each day; on the day of an approval two models made forecasts."""
    merged: dict[Any, Row] = {}
    for row in rows:
        count = row["answered_count"] or 0
        day = merged.setdefault(row["target_date"], {"target_date": row["target_date"], "answered_count": 0})
        for name in ERRORS.values():
            day[name] = day.get(name, 0) + (row[name] or 0) * count
        for name in ("low_count", "expected_low_count"):
            day[name] = day.get(name, 0) + (row[name] or 0)
        day["answered_count"] += count
    for day in merged.values():
        for name in ERRORS.values():
            day[name] = day[name] / day["answered_count"] if day["answered_count"] else None
    return list(merged.values())


def describe_model(model: Any, state: str) -> Row:
    """Return a model as a row: its state, data and held-out metrics."""
    metrics = model.metrics
    return {
        "model": model.short,
        "state": state,
        "data until": (model.lineage.last or "")[:10],
        **{
            name: None if metrics.get(metric) is None else round(metrics[metric], 1)
            for name, metric in METRICS.items()
        },
        "blocked by": "; ".join(model.blocked),
    }


def show_quality(context: Context, days: list[Row]) -> None:
    """Show the errors of the period, by day, and the last day with what was forecast for it."""
    answered = sum(day["answered_count"] for day in days)
    means = {
        name: sum((day[column] or 0) * day["answered_count"] for day in days)
        for name, column in ERRORS.items()
    }
    lows, expected = (sum(day[name] for day in days) for name in ("low_count", "expected_low_count"))
    with st.container(horizontal=True):
        for name, total in means.items():
            value = f"{total / answered:.1f} mg/dL" if answered else "–"
            st.metric(f"Error, {name}", value, help="Mean absolute error of the period", border=True)
        st.metric("Low readings", lows, help="Below 70 mg/dL", border=True)
        st.metric("Low readings expected", f"{expected:.0f}", help="The sum of the risks", border=True)
    st.subheader("Error by day", anchor=False)
    context.show_chart(
        draw_errors(context, days), "Mean absolute error by day, of the model and two naive forecasts"
    )
    last = max(day["target_date"] for day in days)
    st.subheader(f"Forecast and readings of {last}", anchor=False)
    points = context.query(
        """
        select f.target_at, f.forecast_mg_dl, f.low_risk, null as glucose_mg_dl
        from silver.fct_glucose_forecast f where f.forecast_date between $before and $day
        union all
        select r.reading_at, null, null, r.glucose_mg_dl
        from silver.fct_glucose_readings r where r.reading_date = $day
        order by 1
        """,
        {"before": last - dt.timedelta(days=1), "day": last},
    )
    zone = context.settings.zone
    points = [point for point in points if point["target_at"].astimezone(zone).date() == last]
    context.show_chart(
        draw_day(context, points), f"Readings of {last}, and what was forecast 30 minutes before"
    )


def draw_errors(context: Context, days: list[Row]) -> go.Figure:
    """Return the mean absolute error of each day and forecast."""
    figure = go.Figure()
    for (name, column), colour in zip(ERRORS.items(), context.series, strict=False):
        figure.add_scatter(
            name=name,
            x=[day["target_date"] for day in days],
            y=[day[column] for day in days],
            mode="lines+markers",
            line={"color": colour, "width": 3 if name == "model" else 1.5},
        )
    figure.update_layout(yaxis_title="mg/dL", height=300)
    figure.update_yaxes(rangemode="tozero")
    return figure


def draw_day(context: Context, points: list[Row]) -> go.Figure:
    """Return the readings of a day, and at each instant what had been forecast for it."""
    zone, (one, two, *_) = context.settings.zone, context.series
    figure = go.Figure()
    figure.add_hline(y=LOW, line_dash="dot", line_color=context.colour("failed"))
    for name, column, colour in (("reading", "glucose_mg_dl", two), ("forecast", "forecast_mg_dl", one)):
        shown = [point for point in points if point[column] is not None]
        times = [point["target_at"].astimezone(zone) for point in shown]
        figure.add_scatter(name=name, x=times, y=[point[column] for point in shown], line_color=colour)
    figure.update_layout(yaxis_title="mg/dL", height=320)
    return figure


def show_steps() -> None:
    """Show what starts each step, and why, those that wait for a person apart."""
    from forecast.steps import STEPS

    parts = (("By itself", ":material/autorenew:", True), ("A person", ":material/person:", False))
    for column, (title, icon, automatic) in zip(st.columns(2), parts, strict=True):
        lines = [
            f"- **{escape(step.name)}**: {escape_prose(step.starts)}. {escape_prose(step.why)}"
            for step in STEPS
            if step.automatic is automatic
        ]
        column.markdown(f"{icon} **{title}**\n\n" + "\n".join(lines))
