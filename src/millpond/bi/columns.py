"""Which columns of which mart the charts of a bundle read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from millpond.bi.bundle import MARTS_HOST, Bundle, layout_of, list_filters
from millpond.naming import MAIN_REF, marts_schema

_SCHEMA: Final = marts_schema(MAIN_REF)
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
    """What a chart, or a filter of a dashboard, reads of one mart; `file` has it, `dashboards` show it."""

    mart: str
    chart: str
    file: str
    dashboards: tuple[str, ...]
    columns: frozenset[str]

    @property
    def is_chart(self) -> bool:
        """Whether it is a chart, not a filter."""
        return self.file.startswith("charts/")


def find_uses(bundle: Bundle) -> list[Use]:
    """Return what the charts and the filters of the bundle read of the marts, by file and mart.

    Those on other databases are left out. A column that only an SQL text names counts, too; an SQL text
    that is not Postgres' own, such as a template, does not. Raises ConfigError for another layout.
    """
    marts = {
        content["uuid"]
        for content in bundle.of("databases").values()
        if urlsplit(content["sqlalchemy_uri"]).hostname == MARTS_HOST
    }
    datasets = {
        content["uuid"]: content
        for content in bundle.of("datasets").values()
        if content["database_uuid"] in marts and (content.get("schema") or _SCHEMA) == _SCHEMA
    }
    found = []
    for file, chart in bundle.of("charts").items():
        if dataset := datasets.get(chart["dataset_uuid"]):
            shown = tuple(bundle.find_dashboards(chart["uuid"]))
            with layout_of(file):
                reads = _find_columns(_list_names(chart["params"]), dataset)
            found += [
                Use(mart, chart["slice_name"], file, shown, frozenset(columns))
                for mart, columns in reads.items()
            ]
    for file, dashboard in bundle.of("dashboards").items():
        shown = (dashboard["dashboard_title"],)
        for each in list_filters(dashboard):
            if dataset := datasets.get(each.dataset):
                named = [_Name(each.column)] if each.column else []
                found += [
                    Use(
                        mart, f"filter {each.name}", file, (dashboard["dashboard_title"],), frozenset(columns)
                    )
                    for mart, columns in _find_columns(named, dataset).items()
                ]
    return found


def _find_columns(names: Iterable[_Name], dataset: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the columns by mart that `names` of a dataset stand for."""
    if dataset.get("sql"):
        return _find_columns_of_query(dataset["sql"])
    columns, metrics = dataset.get("columns") or (), dataset.get("metrics") or ()
    expressions = {c["column_name"]: c["expression"] for c in columns if c.get("expression")}
    metrics = {m["metric_name"]: m["expression"] for m in metrics}
    found: set[str] = set()
    for name in names:
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
    from sqlglot import exp

    tree = _parse(expression)
    return {_fold(column.this) for column in tree.find_all(exp.Column)} - {"*"} if tree else set()


def _find_columns_of_query(query: str) -> dict[str, set[str]]:
    """Return the tables that an SQL text reads, with its columns where it reads one table only."""
    from sqlglot import exp

    tree = _parse(query)
    if tree is None:
        return {}
    named = {each.alias_or_name for each in tree.find_all(exp.CTE)}
    tables = {
        _fold(table.this)
        for table in tree.find_all(exp.Table)
        if not table.db or _fold(table.args["db"]) == _SCHEMA
    } - named
    if len(tables) != 1:
        return {table: set() for table in tables}
    aliases = {_fold(alias.args["alias"]) for alias in tree.find_all(exp.Alias)}
    columns = {_fold(column.this) for column in tree.find_all(exp.Column)}
    return {tables.pop(): columns - aliases - {"*"}}


def _parse(text: str) -> Any:
    """Return the tree of an SQL text; None if it is not Postgres' own."""
    from sqlglot import errors, parse_one

    try:
        return parse_one(text, read="postgres")
    except errors.SqlglotError:
        return None


def _fold(name: Any) -> str:
    """Return an identifier as Postgres reads it: in lower case unless it is quoted."""
    text = str(name.name)
    return text if name.args.get("quoted") else text.lower()
