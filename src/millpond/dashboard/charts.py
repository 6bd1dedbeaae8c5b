"""Figures, drawn by Plotly from what the queries return; none of them reads anything itself."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import plotly.graph_objects as go

from millpond.dashboard.theme import Scheme, State, get_colour
from millpond.observability.assets import Asset
from millpond.observability.durations import Duration
from millpond.observability.freshness import Age
from millpond.observability.lake import TableFigures
from millpond.observability.partitions import AssetDay, DayState
from millpond.observability.resources import Usage
from millpond.observability.runs import FAILURE, SUCCESS, DayOfRuns

_ROW_PIXELS: Final = 22
_BAR: Final = 0.8 * 86_400_000
"""Width of the bar of a day, in milliseconds."""
_LABEL: Final = 16
"""Letters in a line of a box of the lineage, about."""
DAY_STATES: Final[dict[DayState, State | None]] = {
    DayState.THERE: "fine",
    DayState.QUARANTINED: "quarantined",
    DayState.LATE: "late",
    DayState.FAILED: "failed",
    DayState.MISSING: "missing",
    DayState.UNREACHABLE: "unreachable",
    DayState.BEFORE: None,
}
"""The state in which a day is drawn; days before the first load are left blank."""
AGE_STATES: Final[dict[Age, State]] = {
    Age.NEVER: "missing",
    Age.LATE: "failed",
    Age.WARNING: "late",
    Age.FRESH: "fine",
    Age.UNLIMITED: "fine",
}
"""The state in which an asset of this age is drawn."""
_RUN_STATES: Final[dict[str, State]] = {SUCCESS: "fine", FAILURE: "failed", "CANCELED": "missing"}


def draw_days(days: Sequence[AssetDay], assets: Sequence[str], scheme: Scheme) -> go.Figure:
    """Return a calendar: a row for each asset, a column for each day, coloured by state."""
    columns = sorted({each.day for each in days})
    shown: list[State] = [state for state in DAY_STATES.values() if state]
    of = {(each.asset, each.day): each for each in days}
    values, texts = [], []
    for asset in assets:
        cells = [of.get((asset, day)) for day in columns]
        values.append([_number(shown, cell) for cell in cells])
        texts.append([_describe_day(cell) for cell in cells])
    step = 1 / len(shown)
    colours = [
        [edge, get_colour(state, scheme)]
        for number, state in enumerate(shown)
        for edge in (number * step, (number + 1) * step)
    ]
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=list(assets),
            z=values,
            text=texts,
            hovertemplate="%{text}<extra></extra>",
            colorscale=colours,
            zmin=-0.5,
            zmax=len(shown) - 0.5,
            showscale=False,
            xgap=1,
            ygap=2,
        )
    )
    figure.update_yaxes(autorange="reversed", automargin=True, tickfont={"size": 11})
    # A single column of a date axis would be a millisecond wide.
    figure.update_xaxes(type="date" if len(columns) > 1 else "category", side="top")
    return _lay_out(figure, 90 + _ROW_PIXELS * len(assets))


def draw_rows(days: Sequence[AssetDay], colours: Sequence[str], period: Sequence[dt.date]) -> go.Figure:
    """Return the rows of each day of a period as stacked bars, one colour for each asset."""
    by_asset: defaultdict[str, list[AssetDay]] = defaultdict(list)
    for each in days:
        if each.rows is not None:
            by_asset[each.asset].append(each)
    figure = go.Figure(
        [
            go.Bar(
                name=asset,
                x=[each.day for each in found],
                y=[each.rows for each in found],
                width=_BAR,
                marker_color=colours[number % len(colours)],
            )
            for number, (asset, found) in enumerate(by_asset.items())
        ]
    )
    figure.update_layout(barmode="stack", yaxis_title="rows")
    return _lay_out(_show_period(figure, period), 320)


def draw_runs(days: Sequence[DayOfRuns], scheme: Scheme, period: Sequence[dt.date]) -> go.Figure:
    """Return the number of runs of each day of a period as bars, by status."""
    statuses = sorted({each.status for each in days}, key=lambda status: (status != SUCCESS, status))
    figure = go.Figure(
        [
            go.Bar(
                name=status.lower(),
                x=[each.day for each in days if each.status == status],
                y=[each.runs for each in days if each.status == status],
                width=_BAR,
                marker_color=get_colour(_RUN_STATES.get(status, "running"), scheme),
            )
            for status in statuses
        ]
    )
    figure.update_layout(barmode="stack", yaxis_title="runs")
    return _lay_out(_show_period(figure, period), 280)


def draw_durations(durations: Sequence[Duration], colours: Sequence[str], scheme: Scheme) -> go.Figure:
    """Return a point for each run and asset; unusually slow ones are ringed.

    With more assets than there are colours, a point names its asset under the pointer alone.
    """
    by_asset: defaultdict[str, list[Duration]] = defaultdict(list)
    for each in durations:
        by_asset[each.asset].append(each)
    figure = go.Figure()
    for number, (asset, found) in enumerate(by_asset.items()):
        figure.add_scatter(
            name=asset,
            x=[each.at for each in found],
            y=[each.seconds / each.days for each in found],
            customdata=[[each.days, each.run[:8]] for each in found],
            hovertemplate="%{y:.3g} s a day, %{customdata[0]} day(s), run %{customdata[1]}",
            mode="lines+markers",
            marker={"color": colours[number % len(colours)], "size": 6},
            line={"width": 1},
        )
    slow = [each for each in durations if each.outlier]
    figure.add_scatter(
        name="unusually slow",
        x=[each.at for each in slow],
        y=[each.seconds / each.days for each in slow],
        text=[each.asset for each in slow],
        hovertemplate="%{text}: %{y:.3g} s a day<extra>unusually slow</extra>",
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": 14,
            "color": get_colour("failed", scheme),
            "line": {"width": 2},
        },
    )
    figure.update_layout(showlegend=len(by_asset) <= len(colours))
    figure.update_yaxes(type="log", title="seconds for a day of data", dtick=1)
    return _lay_out(figure, 420)


def draw_growth(tables: Sequence[TableFigures], colours: Sequence[str]) -> go.Figure:
    """Return the bytes of each table after each write."""
    figure = go.Figure(
        [
            go.Scatter(
                name=table.name,
                x=[each.at for each in table.growth],
                y=[each.bytes for each in table.growth],
                mode="lines+markers",
                line={"color": colours[number % len(colours)], "shape": "hv"},
            )
            for number, table in enumerate(tables)
        ]
    )
    figure.update_layout(yaxis_title="bytes", yaxis={"tickformat": "~s"})
    return _lay_out(figure, 380)


def draw_usage(
    usage: Sequence[Usage], colours: Sequence[str], value: Callable[[Usage], float], unit: str
) -> go.Figure:
    """Return a value of each part over time, stacked."""
    by_part: defaultdict[str, list[Usage]] = defaultdict(list)
    for each in usage:
        by_part[each.part].append(each)
    figure = go.Figure(
        [
            go.Scatter(
                name=part,
                x=[each.at for each in found],
                y=[value(each) for each in found],
                stackgroup="parts",
                line={"width": 1, "color": colours[number % len(colours)]},
            )
            for number, (part, found) in enumerate(by_part.items())
        ]
    )
    figure.update_yaxes(title=unit, tickformat="~s")
    return _lay_out(figure, 300)


def draw_rates(rates: Mapping[str, float], scheme: Scheme) -> go.Figure:
    """Return pass rates from 0 to 1 as bars, by name."""
    names = list(rates)
    figure = go.Figure(
        go.Bar(
            x=[rates[name] for name in names],
            y=names,
            orientation="h",
            marker_color=[get_colour("fine" if rates[name] == 1 else "failed", scheme) for name in names],
            text=[f"{rates[name]:.1%}" for name in names],
        )
    )
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(autorange="reversed", automargin=True)
    return _lay_out(figure, 80 + 26 * len(names))


def write_lineage(assets: Sequence[Asset], states: Mapping[str, State], scheme: Scheme) -> str:
    """Return the graph of `assets` in Graphviz' language, from left to right, coloured by state."""
    text = "#e6edf3" if scheme == "dark" else "#1f2328"
    lines = [
        "digraph {",
        '  rankdir=LR; bgcolor="transparent"; ranksep=0.25; nodesep=0.15;',
        '  node [shape=box style="rounded" fontname="sans-serif" fontsize=11 margin="0.06,0.03" penwidth=2];',
        f'  node [fontcolor="{text}"];',
        f'  edge [color="{get_colour("missing", scheme)}" arrowsize=0.6];',
    ]
    names = {each.name for each in assets}
    for each in assets:
        colour = get_colour(states.get(each.name, "missing"), scheme)
        shape = f'color="{colour}" label={_quote(_wrap(each.name))} tooltip={_quote(each.layer)}'
        lines.append(f"  {_quote(each.name)} [{shape}];")
        lines += [f"  {_quote(parent)} -> {_quote(each.name)};" for parent in each.parents if parent in names]
    return "\n".join([*lines, "}"])


def _quote(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _wrap(name: str) -> str:
    """Return a name with breaks after the underscores and slashes that end a line."""
    lines = [""]
    for part in re.findall(r"[^_/]+[_/]*|[_/]+", name):
        if lines[-1] and len(lines[-1] + part) > _LABEL:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _number(shown: Sequence[State], day: AssetDay | None) -> int | None:
    state = DAY_STATES[day.state] if day else None
    return shown.index(state) if state else None


def _describe_day(day: AssetDay | None) -> str:
    if day is None or day.state == DayState.BEFORE:
        return ""
    parts = [f"{_escape(day.asset)}, {day.day:%a %d %b %Y}: {day.state}"]
    if day.rows is not None:
        parts.append(f"{day.rows:,} rows, {day.quarantined:,} quarantined")
    if day.at:
        parts.append(f"written {day.at:%Y-%m-%d %H:%M} UTC")
    if day.error:
        parts.append(_escape(day.error[:120]))
    return "<br>".join(parts)


def _escape(text: str) -> str:
    """Return `text` so that Plotly, which knows some HTML, shows it as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _show_period(figure: go.Figure, period: Sequence[dt.date]) -> go.Figure:
    half = dt.timedelta(hours=12)
    first, last = (dt.datetime.combine(day, dt.time()) for day in (period[0], period[-1]))
    figure.update_xaxes(range=[first - half, last + half], tickformat="%d %b" if len(period) < 7 else None)
    return figure.update_xaxes(dtick=86_400_000) if len(period) < 7 else figure


def _lay_out(figure: go.Figure, height: int) -> go.Figure:
    return figure.update_layout(height=height, hovermode="closest")
