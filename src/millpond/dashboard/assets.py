"""The assets of the project as automation runs it, and which of them belong to a source, layer or owner."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import dagster as dg

from millpond.dashboard.filters import Choices, Filters
from millpond.own_definitions import load_own
from millpond.platform import build_definitions
from millpond.runtime import deployment
from millpond.settings import Settings, use_deployed

_LAYERS = ("raw", "bronze", "silver", "gold", "marts")
_loading = threading.Lock()
_loaded: dict[str, Assets] = {}


@dataclass(frozen=True)
class Assets:
    """The definitions of one deployment, by asset."""

    definitions: dg.Definitions

    @cached_property
    def specs(self) -> Mapping[dg.AssetKey, dg.AssetSpec]:
        """Every asset, by key, in the order of its key."""
        found = {spec.key: spec for spec in self.definitions.resolve_all_asset_specs()}
        return dict(sorted(found.items(), key=lambda each: list(each[0].path)))

    @cached_property
    def sources(self) -> Mapping[dg.AssetKey, frozenset[str]]:
        """The sources that an asset is made from, itself or by what is upstream of it."""
        found: dict[dg.AssetKey, frozenset[str]] = {}

        def find(key: dg.AssetKey, below: frozenset[dg.AssetKey]) -> frozenset[str]:
            if key in found or key not in self.specs or key in below:
                return found.get(key, frozenset())
            spec = self.specs[key]
            own = {str(spec.metadata["source"])} if "source" in spec.metadata else set()
            upstream = [find(dep.asset_key, below | {key}) for dep in spec.deps]
            found[key] = frozenset(own).union(*upstream)
            return found[key]

        for key in self.specs:
            find(key, frozenset())
        return found

    @cached_property
    def choices(self) -> Choices:
        """The names that the filters offer."""
        layers = {find_layer(spec) for spec in self.specs.values()} - {""}
        return Choices(
            tuple(sorted(frozenset[str]().union(*self.sources.values()))),
            tuple(sorted(layers, key=lambda name: (_LAYERS.index(name) if name in _LAYERS else 9, name))),
            tuple(sorted({owner for spec in self.specs.values() for owner in spec.owners})),
        )

    def select(self, filters: Filters) -> list[dg.AssetSpec]:
        """Return the assets that pass the filters of source, layer and owner."""
        return [
            spec
            for key, spec in self.specs.items()
            if (not filters.source or self.sources[key] & set(filters.source))
            and (not filters.layer or find_layer(spec) in filters.layer)
            and (not filters.owner or set(spec.owners) & set(filters.owner))
        ]


def find_layer(spec: dg.AssetSpec) -> str:
    """Return the layer of an asset: that of its tag, else its group."""
    return spec.tags.get("layer") or spec.group_name or ""


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
