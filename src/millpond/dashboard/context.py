"""What the frame gives to each page."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import dagster as dg

from millpond.dashboard.assets import Assets, load_assets
from millpond.dashboard.filters import Filters
from millpond.dashboard.links import Links
from millpond.dashboard.theme import Scheme, State, get_colour
from millpond.instance.home import open_instance
from millpond.settings import Settings

_opening = threading.Lock()
_opened: list[dg.DagsterInstance] = []


@dataclass(frozen=True)
class Context:
    """Filters, settings and links of this view, and access to Dagster's instance and definitions."""

    filters: Filters
    settings: Settings
    links: Links
    scheme: Scheme = "light"

    @property
    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance, opened once for this process. Raises EmbeddedPartError."""
        with _opening:
            if not _opened:
                _opened.append(open_instance())
            return _opened[0]

    @property
    def assets(self) -> Assets:
        """All assets, as automation runs them. Raises ConfigError if they do not load."""
        return load_assets(self.settings)

    @property
    def selected(self) -> list[dg.AssetSpec]:
        """The assets that pass the filters."""
        return self.assets.select(self.filters)

    def colour(self, state: State) -> str:
        """Return the colour of a state on the background in use."""
        return get_colour(state, self.scheme)
