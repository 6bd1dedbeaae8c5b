"""What the frame gives to each page."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import duckdb
import plotly.graph_objects as go
import streamlit as st

import millpond
from millpond.dashboard.assets import Assets, load_assets
from millpond.dashboard.filters import Filters, format_filters
from millpond.dashboard.links import Links
from millpond.dashboard.theme import SERIES, Scheme, State, get_colour
from millpond.instance.home import open_instance
from millpond.observability.assets import Asset
from millpond.settings import Settings

_LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
"""Above the figure, where it meets no labels of an axis however many lines it takes."""
_ROWS_IN_FULL = 40
"""A longer table scrolls within itself."""
_opening = threading.Lock()
_opened: list[dg.DagsterInstance] = []


def open_shared_instance() -> dg.DagsterInstance:
    """Return Dagster's instance, which is opened once for this process."""
    with _opening:
        if not _opened:
            _opened.append(open_instance())
        return _opened[0]


@dataclass(frozen=True)
class Context:
    """Filters, settings and links of this view, and access to Dagster's instance and definitions."""

    filters: Filters
    settings: Settings
    links: Links
    scheme: Scheme = "light"
    pages: Mapping[str, Any] = field(default_factory=dict)
    """The pages of the navigation, by the name of their module."""

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance. Raises EmbeddedPartError."""
        return open_shared_instance()

    @property
    def assets(self) -> Assets:
        """All assets, as automation runs them. Raises ConfigError if they do not load."""
        return load_assets(self.settings)

    @property
    def shown(self) -> list[Asset]:
        """The assets that pass the filters."""
        return self.assets.select(self.filters)

    @property
    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """When the chosen days begin and end, the end excluded."""
        days, zone = self.filters, self.settings.zone
        after = days.last + dt.timedelta(days=1)
        return (
            dt.datetime.combine(days.first, dt.time(), zone),
            dt.datetime.combine(after, dt.time(), zone),
        )

    @property
    def today(self) -> dt.date:
        """The present day in the zone of partitions."""
        return dt.datetime.now(self.settings.zone).date()

    @property
    def series(self) -> tuple[str, ...]:
        """Colours of lines and bars that stand for names."""
        return SERIES[self.scheme]

    def colour(self, state: State) -> str:
        """Return the colour of a state on the background in use."""
        return get_colour(state, self.scheme)

    def link_to(self, page: str, label: str) -> None:
        """Show a link to another page of the dashboard, with the same filters."""
        if page in self.pages:
            st.page_link(self.pages[page], label=label, query_params=format_filters(self.filters))

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query over lake and marts, as `millpond sql` sees them.

        `$name` in it is a parameter. Nothing can be written. A table that is not there yet has no rows.
        """
        with closing(millpond.connect(self.settings.ref)) as connection:
            try:
                found = connection.execute(statement, parameters or {})
            except duckdb.CatalogException:
                return []
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def show_chart(self, figure: go.Figure, about: str) -> None:
        """Show a figure; `about` is read to those who do not see it."""
        figure.update_layout(margin={"l": 8, "r": 8, "t": 24, "b": 8}, legend=_LEGEND)
        st.plotly_chart(figure, alt=about, config={"displayModeBar": False})

    def show_table(
        self,
        rows: Sequence[Mapping[str, Any]],
        about: str,
        *,
        links: Mapping[str, str] | None = None,
        shares: Collection[str] = (),
        counts: Collection[str] = (),
        sizes: Collection[str] = (),
    ) -> None:
        """Show rows as a table; `about` is read to those who do not see it.

        `links` are columns of addresses, each with a pattern whose first group is what is shown of it.
        `shares` are columns of numbers from 0 to 1, shown as bars, `counts` are whole numbers, `sizes` bytes.
        Times are shown in their own zone.
        """
        columns: dict[str, Any] = {
            name: st.column_config.LinkColumn(display_text=pattern) for name, pattern in (links or {}).items()
        }
        columns |= {
            name: st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")
            for name in shares
        }
        for names, form in ((counts, "localized"), (sizes, "bytes")):
            columns |= {name: st.column_config.NumberColumn(format=form) for name in names}
        st.dataframe(
            [{name: _to_cell(value) for name, value in row.items()} for row in rows],
            hide_index=True,
            column_config=columns,
            height="content" if len(rows) <= _ROWS_IN_FULL else "auto",
            placeholder="",
            alt=about,
        )


def _to_cell(value: object) -> object:
    """Return a value as a table shows it: a time to the minute, in the zone that it has."""
    return value.strftime("%Y-%m-%d %H:%M") if isinstance(value, dt.datetime) else value
