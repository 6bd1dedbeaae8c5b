"""Pass rates of dbt tests and asset checks, what fails now, and why rows were quarantined."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence

import streamlit as st

from millpond.dashboard.charts import draw_rates
from millpond.dashboard.context import Context
from millpond.dashboard.text import escape, escape_prose
from millpond.observability.assets import order_layers
from millpond.observability.checks import CheckState, PassRate, read_check_states, read_pass_rates
from millpond.observability.partitions import read_days
from millpond.observability.sensitive import hide_reasons

TITLE, ICON, ORDER = "Data quality", ":material/rule:", 50


def render(context: Context) -> None:
    """Show failing checks, pass rates by layer and model, and quarantined rows by reason."""
    since, _ = context.span
    states = read_check_states(context.instance, context.shown, since)
    _show_failing(context, states)
    rates = read_pass_rates(context.instance, context.shown, since)
    if rates:
        _show_rates(context, rates)
    _show_quarantine(context)


def _show_failing(context: Context, states: Sequence[CheckState]) -> None:
    failing = [each for each in states if not each.passed]
    st.subheader(f"Failing checks ({len(failing)} of {len(states)})", anchor=False)
    if not states:
        st.info("No check ran in this period.")
    elif not failing:
        st.success("Every check passed when it last ran.")
    for each in failing:
        with st.container(border=True):
            kind = "blocking" if each.blocking else "warning"
            link = context.links.asset_named(each.asset, view="checks")
            st.markdown(f"**[{escape(each.asset)}]({link})** {escape(each.check)} ({kind})")
            at = each.at.astimezone(context.settings.zone)
            st.caption(f"{at:%d %b %H:%M}")
            if each.description:
                st.markdown(escape_prose(each.description))
            if each.samples:
                context.show_table(each.samples, f"Rows that fail {each.check}")


def _show_rates(context: Context, rates: Sequence[PassRate]) -> None:
    layer_of = {each.name: each.layer for each in context.shown}
    by_layer: defaultdict[str, list[PassRate]] = defaultdict(list)
    for each in rates:
        by_layer[layer_of[each.asset]].append(each)
    st.subheader("Pass rate by layer", anchor=False)
    shares = {layer: _share(by_layer[layer]) for layer in order_layers(by_layer)}
    context.show_chart(draw_rates(shares, context.scheme), "Share of checks that passed, by layer")
    st.subheader("Pass rate by asset and check", anchor=False)
    rows = [
        {
            "asset": context.links.asset_named(each.asset, view="checks"),
            "check": each.check,
            "pass rate": each.rate,
            "passed": each.passed,
            "failed": each.failed,
        }
        for each in rates
    ]
    context.show_table(
        rows,
        "Pass rates",
        links={"asset": r"assets/(.*)\?"},
        shares=("pass rate",),
        counts=("passed", "failed"),
    )


def _share(rates: Sequence[PassRate]) -> float:
    return sum(each.passed for each in rates) / sum(each.passed + each.failed for each in rates)


def _show_quarantine(context: Context) -> None:
    sensitive = {each.name: each.sensitive for each in context.shown}
    days = read_days(context.instance, context.shown, context.filters.list_days())
    reasons: Counter[tuple[str, str]] = Counter()
    latest: dict[tuple[str, str], dt.date] = {}
    for each in days:
        for reason, number in hide_reasons(each.reasons, sensitive[each.asset]).items():
            reasons[each.asset, reason] += number
            latest[each.asset, reason] = max(each.day, latest.get((each.asset, reason), each.day))
    st.subheader(f"Quarantined rows ({sum(reasons.values()):,})", anchor=False)
    if not reasons:
        st.success("No row of this period was quarantined.")
        return
    rows = [
        {
            "asset": context.links.asset_named(asset),
            "reason": reason,
            "rows": number,
            "last day": latest[asset, reason],
        }
        for (asset, reason), number in reasons.most_common()
    ]
    context.show_table(rows, "Quarantined rows by reason", links={"asset": r"assets/(.*)$"}, counts=("rows",))
    st.caption(
        "`millpond quarantine list` shows the rows, `millpond quarantine replay` loads them after a fix."
    )
