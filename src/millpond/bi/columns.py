"""Which columns of which mart the charts of a bundle read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from millpond.bi.bundle import MARTS_HOST, Bundle

_COLUMNS: Final = (
    *("x_axis", "groupby", "groupby_b", "groupbyRows", "groupbyColumns", "columns", "all_columns", "series"),
    *("series_columns", "entity", "x", "y", "size", "granularity_sqla", "order_by_cols"),
)
_METRICS: Final = (
    *("metric", "metrics", "metrics_b", "metric_2", "secondary_metric", "percent_metrics"),
    *("timeseries_limit_metric", "timeseries_limit_metric_b"),
)
_FILTERS: Final = ("adhoc_filters", "adhoc_filters_b")


@dataclass(frozen=True)
class Use:
    """What one chart reads of one mart: columns by name; `file` is the chart's, `dashboards` show it."""

    mart: str
    chart: str
    file: str
    dashboards: tuple[str, ...]
    columns: frozenset[str]


def find_uses(bundle: Bundle) -> list[Use]:
    """Return what the charts of the bundle read of the marts, by file and mart.

    Charts on other databases are left out. A column that only an SQL text names counts, too.
    """
    marts = {
        content["uuid"]
        for content in bundle.of("databases").values()
        if urlsplit(content["sqlalchemy_uri"]).hostname == MARTS_HOST
    }
    datasets = {
        content["uuid"]: content
        for content in bundle.of("datasets").values()
        if content["database_uuid"] in marts
    }
    found = []
    for file, chart in bundle.of("charts").items():
        if dataset := datasets.get(chart["dataset_uuid"]):
            shown = tuple(bundle.find_dashboards(chart["uuid"]))
            for mart, columns in _find_columns(chart, dataset).items():
                found.append(Use(mart, chart["slice_name"], file, shown, frozenset(columns)))
    return found


def _find_columns(chart: Mapping[str, Any], dataset: Mapping[str, Any]) -> dict[str, set[str]]:
    if dataset.get("sql"):
        return _find_columns_of_query(dataset["sql"])
    expressions = {c["column_name"]: c["expression"] for c in dataset.get("columns", ()) if c["expression"]}
    metrics = {m["metric_name"]: m["expression"] for m in dataset.get("metrics", ())}
    found: set[str] = set()
    for name in _list_names(chart["params"]):
        if name.metric and name.text in metrics:
            found |= _parse_columns(metrics[name.text])
        elif name.sql:
            found |= _parse_columns(name.text)
        else:
            found.add(name.text)
    while calculated := found & expressions.keys():
        found -= calculated
        found |= {column for name in calculated for column in _parse_columns(expressions[name])} - calculated
    return {dataset["table_name"]: found}


@dataclass(frozen=True)
class _Name:
    text: str
    metric: bool = False
    sql: bool = False


def _list_names(params: Mapping[str, Any]) -> Iterator[_Name]:
    for key in _COLUMNS:
        for value in _to_list(params.get(key)):
            yield from _read_column(value, key)
    for key in _METRICS:
        for value in _to_list(params.get(key)):
            yield from _read_metric(value)
    for key in _FILTERS:
        for value in _to_list(params.get(key)):
            if value.get("expressionType") == "SQL":
                yield _Name(value["sqlExpression"], sql=True)
            elif value.get("subject"):
                yield _Name(value["subject"])


def _read_column(value: Any, key: str) -> Iterator[_Name]:
    if isinstance(value, dict):
        yield _Name(value["sqlExpression"], sql=True)
    elif key == "order_by_cols":
        yield _Name(json.loads(value)[0], metric=True)
    else:
        yield _Name(value, metric=key in ("x", "y", "size"))


def _read_metric(value: Any) -> Iterator[_Name]:
    if not isinstance(value, dict):
        yield _Name(value, metric=True)
    elif value.get("expressionType") == "SQL":
        yield _Name(value["sqlExpression"], sql=True)
    elif column := value.get("column"):
        yield _Name(column["column_name"])


def _to_list(value: Any) -> Iterable[Any]:
    return [each for each in (value if isinstance(value, list) else [value]) if each]


def _parse_columns(expression: str) -> set[str]:
    from sqlglot import exp, parse_one

    return {column.name for column in parse_one(expression, read="postgres").find_all(exp.Column)}


def _find_columns_of_query(query: str) -> dict[str, set[str]]:
    """Return the tables that an SQL text reads, with its columns where it reads one table only."""
    from sqlglot import exp, parse_one

    tree = parse_one(query, read="postgres")
    named = {each.alias_or_name for each in tree.find_all(exp.CTE)}
    tables = {table.name for table in tree.find_all(exp.Table)} - named
    if len(tables) != 1:
        return {table: set() for table in tables}
    aliases = {alias.alias for alias in tree.find_all(exp.Alias)}
    return {tables.pop(): {column.name for column in tree.find_all(exp.Column)} - aliases}
