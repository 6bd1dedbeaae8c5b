"""Values of sensitive columns are hidden in what commands print of rows; `millpond sql` alone shows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millpond.ingestion.inspection.check import Step
    from millpond.ingestion.inspection.sample import Sample
    from millpond.ingestion.spec import SourceTable
    from millpond.ingestion.type_changes import TypeChange
    from millpond.lake.comparison import Comparison, TableComparison


def find_hidden(table: SourceTable) -> frozenset[str]:
    """Return the sensitive columns of a raw table; parses the dbt project if its files changed."""
    from millpond.settings import settings
    from millpond.transform.manifest import load_project_or_last
    from millpond.transform.sensitive import find_sensitive_columns

    found = find_sensitive_columns(load_project_or_last(settings()))
    return found.get(table.asset, frozenset())


def hide_sample(sample: Sample, table: SourceTable) -> Sample:
    """Return a sample of a source without values of sensitive columns; of bad rows the reasons are left."""
    from millpond.redaction import without_excerpts

    if not (hidden := find_hidden(table)):
        return sample
    for error in sample.failed.values():
        error.what = without_excerpts(error.what)
    return dataclasses.replace(
        sample,
        rows=[_hide(row, hidden) for row in sample.rows],
        quarantined=[
            _hide(row, {"payload", *({"row_key"} if hidden & table.identifying else ())})
            for row in sample.quarantined
        ],
    )


def hide_details(steps: Iterable[Step]) -> list[Step]:
    """Return the steps of a check; those of tables with sensitive columns quote nothing a source sent."""
    from millpond.ingestion.reading import find_table, load_sources
    from millpond.redaction import without_excerpts
    from millpond.settings import settings

    found = list(steps)
    names = {each.table for each in found if each.table and each.state == "failed"}
    if not names:
        return found
    sources = load_sources(settings())
    tables = [source.tables[at] for source, at in (find_table(sources, name) for name in names)]
    hidden = {table.name for table in tables if find_hidden(table)}
    return [
        dataclasses.replace(each, detail=without_excerpts(each.detail)) if each.table in hidden else each
        for each in found
    ]


def hide_changes(changes: Iterable[TypeChange], table: SourceTable) -> list[TypeChange]:
    """Return changes of types without examples of sensitive columns."""
    found = list(changes)
    if not any(each.samples for each in found) or not (hidden := find_hidden(table)):
        return found
    return [dataclasses.replace(each, samples=()) if each.column in hidden else each for each in found]


def hide_comparison(found: Comparison) -> Comparison:
    """Return what a branch changed without values of sensitive columns."""
    from millpond.settings import settings
    from millpond.transform.manifest import load_project_or_last
    from millpond.transform.sensitive import find_sensitive_tables, find_stored_failures

    project = load_project_or_last(settings())
    hidden, failures = find_sensitive_tables(project), find_stored_failures(project)
    tables = tuple(
        _hide_table(
            each, _list_columns(each) if each.table in failures else hidden.get(each.table, frozenset())
        )
        for each in found.tables
    )
    return dataclasses.replace(found, tables=tables)


def _list_columns(table: TableComparison) -> frozenset[str]:
    """Return every column of which the comparison has values."""
    samples = [*table.rows.samples_added, *table.rows.samples_removed]
    changed = ({*each.key, *each.columns} for each in table.rows.samples_changed)
    return frozenset[str]().union(*samples, *changed)


def _hide_table(table: TableComparison, hidden: frozenset[str]) -> TableComparison:
    if not hidden:
        return table
    changed = tuple(
        dataclasses.replace(
            each,
            key=_hide(each.key, hidden),
            columns={
                name: (_mask(before), _mask(after)) if name in hidden else (before, after)
                for name, (before, after) in each.columns.items()
            },
        )
        for each in table.rows.samples_changed
    )
    rows = dataclasses.replace(
        table.rows,
        samples_added=tuple(_hide(row, hidden) for row in table.rows.samples_added),
        samples_removed=tuple(_hide(row, hidden) for row in table.rows.samples_removed),
        samples_changed=changed,
    )
    return dataclasses.replace(table, rows=rows)


def _hide(row: Mapping[str, Any], hidden: Iterable[str]) -> dict[str, Any]:
    names = {*hidden}
    return {name: _mask(value) if name in names else value for name, value in row.items()}


def _mask(value: object) -> str | None:
    from millpond.transform.sensitive import HIDDEN

    return None if value is None else HIDDEN
