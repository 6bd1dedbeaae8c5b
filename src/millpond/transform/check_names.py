"""Short names of checks, for projects that choose them: MILLPOND_DBT_TRANSLATOR names the translator here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import dagster as dg

from millpond.transform.translator import MillpondDbtTranslator

_Node = Mapping[str, Any]
_ID = "dagster_dbt/unique_id"


class ShortCheckNames(MillpondDbtTranslator):
    """Names checks of dbt tests without what the page of their asset says already.

    `fct_orders_key` of fct_orders becomes `key`; a name that dbt made becomes the test with its column, such
    as `accepted_values_status`. Where two tests of an asset would have one name, both keep dbt's.
    """

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: _Node, unique_id: str, project: Any
    ) -> dg.AssetCheckSpec | None:
        """Return the spec of a dbt test with its short name."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        of = asset_spec.metadata.get(_ID)
        if spec is None or of is None:
            return spec
        table = (manifest["nodes"].get(of) or manifest["sources"][of])["name"]
        tests = [key for key in manifest["child_map"].get(of, ()) if key.startswith("test.")]
        short = {key: shorten_check_name(manifest["nodes"][key], table) for key in tests}
        alone = Counter(short.values())[short[unique_id]] == 1
        return spec._replace(name=short[unique_id]) if alone else spec


def shorten_check_name(node: _Node, table: str) -> str:
    """Return the short name of a dbt test of the model or source table `table`."""
    name, kind = str(node["name"]), node.get("test_metadata") or {}
    if kind:
        qualified = [part for part in (kind.get("namespace"), kind["name"]) if part]
        made = rf"(source_)?{re.escape('_'.join(qualified))}_(\w+_)?{re.escape(table)}_"
        if re.match(made, f"{name}_"):
            column = node.get("column_name") or kind.get("kwargs", {}).get("column_name") or ""
            return "_".join(filter(None, (kind["name"], re.sub(r"\W+", "_", column).strip("_"))))
    return name.removeprefix(f"{table}_") or name
