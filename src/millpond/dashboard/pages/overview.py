"""Is everything all right, since when not, and whose move is it."""

from __future__ import annotations

import datetime as dt

import streamlit as st

from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, escape_prose, format_age, format_seconds
from millpond.dashboard.theme import SYMBOLS, State
from millpond.naming import pluralize
from millpond.observability.assets import order_layers
from millpond.observability.health import AssetStatus, Health, Problem, read_health

TITLE, ICON, ORDER = "Overview", ":material/dashboard:", 10

_QUESTIONS = (
    ("What failed?", "runs"),
    ("Which days are missing?", "days"),
    ("What is late?", "freshness"),
    ("What was quarantined, and why?", "quality"),
    ("Was anyone notified?", "alerts"),
)
_STATES: dict[str, State] = {
    "fine": "fine",
    "failed": "failed",
    "check": "failed",
    "late": "late",
    "missing": "missing",
    "alert": "quarantined",
    "never": "missing",
}
_SHOWN = 20


def render(context: Context) -> None:
    """Show the answer, the questions of a person on call, key figures, and each asset."""
    now = dt.datetime.now(dt.UTC)
    shown, filters = context.shown, context.filters
    health = read_health(context.instance, shown, filters.first, filters.last, now, context.settings.zone)
    _show_answer(health, now, bool(shown))
    _show_questions(context)
    _show_figures(health)
    if health.problems:
        _show_problems(context, health.problems, now)
    _show_assets(context, health.statuses, now)


def _show_answer(health: Health, now: dt.datetime, any_asset: bool) -> None:
    if not any_asset:
        st.info("No asset passes the filters.")
    elif health.problems:
        since = f" since {format_age(now - health.since)} ago" if health.since else ""
        owners = sorted({owner for each in health.problems for owner in each.owners})
        move = f" It is the move of {', '.join(owners)}." if owners else ""
        more = health.open_alerts - len(health.alerts)
        unlisted = f" and {more:,} more open alerts" if more else ""
        what = f"{pluralize(len(health.problems), 'problem')}{unlisted}"
        st.error(escape(f"{what}{since}.{move}"), icon=":material/error:")
    elif all(each.state == "never" for each in health.statuses):
        st.info(
            "Nothing is materialized yet. `millpond demo` loads demo data, `millpond materialize` your own."
        )
    else:
        st.success("Everything is all right.", icon=":material/check_circle:")


def _show_questions(context: Context) -> None:
    with st.container(horizontal=True):
        for question, page in _QUESTIONS:
            context.link_to(page, question)


def _show_figures(health: Health) -> None:
    runs, before = health.runs, health.before
    rate, former = runs.success_rate, before.success_rate
    figures = st.container(horizontal=True)
    figures.metric(
        "Successful runs",
        "none yet" if rate is None else f"{rate:.1%}",
        None if rate is None or former is None else f"{(rate - former) * 100:+.1f} points",
        help="Share of the finished runs of the period; the change is against as many days before it.",
        border=True,
    )
    figures.metric("Runs", f"{runs.runs:,}", f"{runs.active} active" if runs.active else None, border=True)
    figures.metric("Failed runs", f"{runs.failed:,}", border=True)
    change = None
    if runs.seconds and before.seconds:
        change = f"{(runs.seconds / before.seconds - 1) * 100:+.0f} %"
    figures.metric(
        "Average duration",
        "–" if runs.seconds is None else format_seconds(runs.seconds),
        change,
        delta_color="inverse",
        help="Of successful runs.",
        border=True,
    )
    figures.metric("Rows, newest day", f"{health.rows_latest:,}", help="In raw tables.", border=True)
    figures.metric("Quarantined rows", f"{health.quarantined:,}", help="Of the period.", border=True)
    figures.metric("Open alerts", f"{health.open_alerts:,}", border=True)


def _show_problems(context: Context, problems: tuple[Problem, ...], now: dt.datetime) -> None:
    st.subheader("Problems", anchor=False)
    for each in problems[:_SHOWN]:
        with st.container(border=True):
            where = f"[{escape(each.asset)}]({context.links.asset_named(each.asset)})" if each.asset else ""
            st.markdown(f"**{where or 'Platform'}** {escape_prose(each.what)}")
            said = [f"since {format_age(now - each.since)} ago"] if each.since else []
            said += [f"owner {', '.join(each.owners)}"] if each.owners else []
            if said:
                st.caption(escape(", ".join(said)))
            st.markdown(f"Next: {escape_prose(each.next_step)}")
    if len(problems) > _SHOWN:
        st.caption(f"and {len(problems) - _SHOWN} more; the filters narrow them down")


def _show_assets(context: Context, statuses: tuple[AssetStatus, ...], now: dt.datetime) -> None:
    st.subheader("Assets", anchor=False)
    order = order_layers({each.asset.layer for each in statuses})
    rows = [
        {
            "status": f"{SYMBOLS[_STATES[each.state]]} {each.state}",
            "layer": each.asset.layer,
            "asset": context.links.asset_named(each.asset.name),
            "last": each.last and each.last.astimezone(context.settings.zone),
            "age": format_age(now - each.last) if each.last else "",
            "rows, newest day": each.rows,
            "owner": ", ".join(each.asset.owners),
        }
        for each in sorted(statuses, key=lambda each: order.index(each.asset.layer))
    ]
    context.show_table(
        rows, "State of each asset", links={"asset": r"assets/(.*)$"}, counts=("rows, newest day",)
    )
