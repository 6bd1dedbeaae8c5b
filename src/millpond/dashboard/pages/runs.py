"""What ran: by day and status, and the latest runs with links to Dagster."""

from __future__ import annotations

import streamlit as st

from millpond.dashboard.charts import draw_runs
from millpond.dashboard.context import Context
from millpond.dashboard.text import format_seconds
from millpond.observability.failures import read_failures
from millpond.observability.runs import Run, count_runs, list_runs

TITLE, ICON, ORDER = "Runs", ":material/play_circle:", 20
_FAILED = ("FAILURE", "CANCELED")
_LIMIT = 500
_EXPLAINED, _NAMED = 100, 3


def render(context: Context) -> None:
    """Show runs by day, then failed ones, then all."""
    since, until = context.span
    counted = count_runs(context.instance, since, until, context.settings.timezone)
    if not counted:
        st.info(
            "No run in this period. `millpond materialize` starts one; automation does with `millpond up`."
        )
        return
    context.show_chart(
        draw_runs(counted, context.scheme, context.filters.list_days()), "Runs by day and status"
    )
    failed = list_runs(context.instance, since, until, statuses=_FAILED, limit=_LIMIT)
    st.subheader(f"Failed runs ({len(failed)})", anchor=False)
    if failed:
        _show_failed(context, failed)
    else:
        st.success("No run failed in this period.")
    st.subheader("Latest runs", anchor=False)
    _show(context, list_runs(context.instance, since, until, limit=_LIMIT))


def _show_failed(context: Context, runs: list[Run]) -> None:
    sensitive = {each.name for each in context.assets.every if each.sensitive}
    explained = read_failures(context.instance, [each.id for each in runs[:_EXPLAINED]], sensitive)
    rows = []
    for each in runs:
        steps = explained.get(each.id, [])
        assets = [name for step in steps for name in step.assets or (step.step,)]
        more = f" and {len(assets) - _NAMED} more" if len(assets) > _NAMED else ""
        rows.append(
            {
                "run": context.links.run(each.id),
                "asset": ", ".join(assets[:_NAMED]) + more,
                "why": steps[0].error if steps else each.status.lower(),
                "partition": each.partition,
                "started": (each.started or each.created).astimezone(context.settings.zone),
                "started by": each.automatic or "hand",
            }
        )
    context.show_table(rows, "Failed runs", links={"run": r"runs/(.{8})"})


def _show(context: Context, runs: list[Run]) -> None:
    rows = [
        {
            "run": context.links.run(each.id),
            "status": each.status.lower(),
            "partition": each.partition,
            "started": (each.started or each.created).astimezone(context.settings.zone),
            "duration": format_seconds(each.seconds) if each.seconds is not None else "",
            "started by": each.automatic or "hand",
            "job": each.job,
        }
        for each in runs
    ]
    context.show_table(rows, "Runs", links={"run": r"runs/(.{8})"})
