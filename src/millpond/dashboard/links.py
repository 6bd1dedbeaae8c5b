"""Addresses of Dagster's pages that the dashboard leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import dagster as dg

from millpond.alerts.message import dagster_pages
from millpond.settings import Settings


@dataclass(frozen=True)
class Links:
    """Builds addresses below `base`, that of Dagster's pages as people reach it."""

    base: str

    @classmethod
    def of(cls, settings: Settings) -> Links:
        """Return the links of an installation: MILLPOND_PUBLIC_URL, else the local address."""
        return cls(dagster_pages(settings).rstrip("/"))

    def run(self, run_id: str) -> str:
        """Return the page of a run."""
        return f"{self.base}/runs/{quote(run_id, safe='')}"

    def backfill(self, backfill_id: str) -> str:
        """Return the page of a backfill."""
        return f"{self.base}/runs/b/{quote(backfill_id, safe='')}"

    def asset(self, key: dg.AssetKey, *, partition: str = "", view: str = "") -> str:
        """Return the page of an asset, of one of its partitions, or of a view such as `checks`."""
        chosen = {"view": view or ("partitions" if partition else ""), "partition": partition}
        query = urlencode({name: value for name, value in chosen.items() if value})
        path = "/".join(quote(part, safe="") for part in key.path)
        return f"{self.base}/assets/{path}" + (f"?{query}" if query else "")

    def asset_named(self, name: str, *, partition: str = "", view: str = "") -> str:
        """Return the page of the asset with this key, as selections write it."""
        return self.asset(dg.AssetKey.from_user_string(name), partition=partition, view=view)

    def lineage(self, keys: Sequence[dg.AssetKey] = ()) -> str:
        """Return the lineage page of all assets, or of `keys`."""
        if not keys:
            return f"{self.base}/asset-groups"
        selection = " or ".join(f'key:"{key.to_user_string()}"' for key in keys)
        return f"{self.base}/asset-groups?{urlencode({'asset-selection': selection})}"

    def runbook(self, kind: str = "") -> str:
        """Return the runbook, or its entry for a kind of alert."""
        anchor = f"#{quote(kind, safe='')}" if kind else ""
        return f"{self.base}/runbook{anchor}"

    def docs(self, page: str = "") -> str:
        """Return a page of the documentation, or its list."""
        return f"{self.base}/docs/{quote(page)}"
