"""The assets of the project as automation runs it, and which of them belong to a source, layer or owner."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg

from millpond.dashboard.filters import Choices, Filters
from millpond.observability.assets import Asset, Filter, list_assets, order_layers
from millpond.own_definitions import load_own
from millpond.platform import build_definitions
from millpond.runtime import deployment
from millpond.settings import Settings, settings, use_deployed
from millpond.transform.manifest import load_project_or_last
from millpond.transform.sensitive import find_sensitive_columns

_loading = threading.Lock()
_loaded: dict[str, Assets] = {}


@dataclass(frozen=True)
class Assets:
    """The definitions of one deployment, by asset."""

    definitions: dg.Definitions

    @cached_property
    def every(self) -> list[Asset]:
        """Every asset that can be materialized, inputs before what is made from them."""
        return list_assets(self.definitions, find_sensitive_columns(load_project_or_last(settings())))

    @cached_property
    def choices(self) -> Choices:
        """The names that the filters offer."""
        return Choices(
            tuple(sorted(frozenset[str]().union(*(each.sources for each in self.every)))),
            tuple(order_layers({each.layer for each in self.every})),
            tuple(sorted({owner for each in self.every for owner in each.owners})),
        )

    def select(self, filters: Filters) -> list[Asset]:
        """Return the assets that pass the filters of source, layer and owner."""
        chosen = (frozenset(names) for names in (filters.source, filters.layer, filters.owner))
        return Filter(*chosen).select(self.every)


def load_assets(settings: Settings) -> Assets:
    """Return the assets of the deployment in use, or of the project if there is none; loaded once for each.

    Raises ConfigError if they do not load.
    """
    now = deployment.current(settings)
    state = now.state if now else ""
    with _loading:
        if state not in _loaded:
            _forget_own_modules()
            if now:
                use_deployed(deployment.folder_of(settings, now))
            found = Assets(build_definitions(load_own(settings)))
            _loaded.clear()
            _loaded[state] = found
        return _loaded[state]


def _forget_own_modules() -> None:
    """Have the modules of a project that was loaded before be read again."""
    former = [folder for folder in sys.path if (Path(folder) / "pyproject.toml").is_file()]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        own = file and "site-packages" not in Path(file).parts and name.partition(".")[0] != "millpond"
        if own and any(Path(str(file)).is_relative_to(folder) for folder in former):
            del sys.modules[name]
