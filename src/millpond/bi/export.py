"""What Superset exports, without what differs by machine or moment: ids, caches, the order of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

Files = Mapping[str, Mapping[str, Any]]

_OF_CHARTS: Final = ("datasource", "slice_id", "dashboardId", "dashboards", "url_params", "datasource_name")
_OF_METADATA: Final = (
    *("shared_label_colors", "map_label_colors", "color_scheme_domain", "default_filters"),
    *("global_chart_configuration", "show_chart_timestamps"),
)
_OF_SCOPES: Final = ("chartsInScope", "tabsInScope")


def normalize_files(files: Files, names: Mapping[Any, str]) -> dict[str, dict[str, Any]]:
    """Return exported files by their path in the bundle; `names` has the paths of those there, by UUID."""
    found: dict[str, dict[str, Any]] = {}
    for path, content in sorted(files.items(), key=lambda file: str(file[1].get("uuid"))):
        kind = path.split("/")[0]
        name = names.get(content.get("uuid")) or _name_file(path, content, {*found, *names.values()})
        found[name] = _NORMALIZE.get(kind, dict)(deepcopy(dict(content)))
    return found


def chart_number(uuid: str) -> int:
    """Return the number that stands for a chart in the file of a dashboard; Superset's own differ."""
    return int(uuid.replace("-", "")[:7], 16)


def _name_file(path: str, content: Mapping[str, Any], taken: set[str]) -> str:
    """Return a path without the id that Superset appends; with part of the UUID where it is taken."""
    folder, _, file = path.rpartition("/")
    stem = re.sub(r"_\d+$", "", file.removesuffix(".yaml")).lower()
    name = f"{folder}/{stem}.yaml"
    return f"{folder}/{stem}_{str(content['uuid'])[:8]}.yaml" if name in taken else name


def _normalize_chart(content: dict[str, Any]) -> dict[str, Any]:
    content["query_context"] = None
    params = content["params"] or {}
    content["params"] = {key: value for key, value in params.items() if key not in _OF_CHARTS}
    content["params"].setdefault("annotation_layers", [])  # as an import does
    return content


def _normalize_dataset(content: dict[str, Any]) -> dict[str, Any]:
    content["columns"] = sorted(content["columns"], key=lambda column: str(column["column_name"]))
    content["metrics"] = sorted(content["metrics"], key=lambda metric: str(metric["metric_name"]))
    return content


def _normalize_dashboard(content: dict[str, Any]) -> dict[str, Any]:
    numbers: dict[int, int] = {}
    for cell in content["position"].values():
        if isinstance(cell, dict) and cell.get("type") == "CHART" and "uuid" in cell["meta"]:
            meta, number = cell["meta"], chart_number(cell["meta"]["uuid"])
            numbers[meta["chartId"]] = meta["chartId"] = number
    metadata = {key: v for key, v in (content.get("metadata") or {}).items() if key not in _OF_METADATA}
    filters = metadata.get("native_filter_configuration") or []
    metadata["native_filter_configuration"] = filters  # an import adds an empty list
    for each in filters:
        _normalize_scope(each, numbers)
    configured = metadata.pop("chart_configuration", None) or {}
    if kept := _normalize_cross_filters(configured, numbers):
        metadata["chart_configuration"] = kept
    if expanded := metadata.pop("expanded_slices", None):
        metadata["expanded_slices"] = {str(numbers.get(int(k), k)): v for k, v in expanded.items()}
    if immune := metadata.pop("timed_refresh_immune_slices", None):
        metadata["timed_refresh_immune_slices"] = [numbers.get(each, each) for each in immune]
    return {**content, "metadata": metadata}


def _normalize_cross_filters(configured: Mapping[str, Any], numbers: Mapping[int, int]) -> dict[str, Any]:
    """Return what differs from the default, by which each chart filters all others."""
    found = {}
    for chart, each in configured.items():
        filters = each.get("crossFilters", {})
        if isinstance(filters.get("scope"), dict):
            number = numbers.get(int(chart), int(chart))
            _normalize_scope(filters, numbers)
            found[str(number)] = {**each, "id": number}
    return found


def _normalize_scope(each: dict[str, Any], numbers: Mapping[int, int]) -> None:
    for key in _OF_SCOPES:
        each.pop(key, None)
    scope = each.get("scope")
    if isinstance(scope, dict) and "excluded" in scope:
        scope["excluded"] = sorted(numbers.get(chart, chart) for chart in scope["excluded"])


_NORMALIZE: Final = {
    "charts": _normalize_chart,
    "datasets": _normalize_dataset,
    "dashboards": _normalize_dashboard,
}
