"""A sample of a source as tables: what becomes of its rows, and its columns with nulls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from millpond.ingestion.inspection.sample import Sample
    from millpond.ingestion.spec import SourceTable

_COUNTS = ("day", "rows", "quarantined", "duplicates", "out of range", "values nulled")
_LONGEST = 28


def print_counts(sample: Sample) -> None:
    """Print a row for each day: what a load would take, and what not."""
    from millpond.cli import output

    rows = [[str(each["day"]), *(each[name] for name in list(each)[1:])] for each in as_counts(sample)]
    output.print_rows_as_table(_COUNTS, rows)
    if sample.other_days:
        typer.echo(f"rows of other days that came too, which a load leaves out: {sample.other_days:,}")
    for reason, number in sorted(sample.total.reasons.items(), key=lambda item: -item[1])[:5]:
        typer.echo(f"quarantined: {reason} ({number:,})")
    for reason, number in sorted(sample.total.nulled.items(), key=lambda item: -item[1])[:5]:
        typer.echo(f"nulled: {reason} ({number:,})")
    for error in dict.fromkeys(sample.failed.values()):
        typer.echo(f"not loaded: {error.what}\n  Next: {error.next_step}")


def print_columns(table: SourceTable, sample: Sample) -> None:
    """Print each column with its type, how many of the rows have no value, and the value of one."""
    from millpond.cli import output

    rows = [
        [
            name,
            table.columns[name].type if name in table.columns else "as the source has it (not in the spec)",
            nulls,
            _shorten(next((row[name] for row in sample.rows if row.get(name) is not None), None)),
        ]
        for name, nulls in sample.nulls.items()
    ]
    if rows:
        output.print_rows_as_table(("column", "type", "nulls", "example"), rows)


def print_rows(sample: Sample) -> None:
    """Print the rows as they would be loaded."""
    from millpond.cli import output

    if sample.rows:
        names = [name for name in sample.rows[0] if name != "_run_id" and name != "_loaded_at"]
        output.print_rows_as_table(names, [[_shorten(row[name]) for name in names] for row in sample.rows])


def print_quarantined(sample: Sample) -> None:
    """Print the rows that break the contract, each with the reason."""
    from millpond.cli import output

    names = ("row_key", "reason", "payload")
    output.print_rows_as_table(names, [[row[name] for name in names] for row in sample.quarantined])


def as_counts(sample: Sample) -> list[dict[str, Any]]:
    """Return a row for each day, by the names that loads use for its counts."""
    days = len(sample.counts) > 1 or sample.window.start.year > 1970
    return [
        {
            "day": day if days else "all",
            "rows_loaded": counts.good,
            "rows_quarantined": counts.bad,
            "duplicates_dropped": counts.duplicate,
            "rows_outside_window": counts.outside,
            "values_nulled": sum(counts.nulled.values()),
        }
        for day, counts in sample.counts.items()
    ]


def as_object(sample: Sample) -> dict[str, Any]:
    """Return the sample for JSON."""
    return {
        "days": as_counts(sample),
        "rows_of_other_days": sample.other_days,
        "nulls": sample.nulls,
        "reasons": sample.total.reasons,
        "nulled": sample.total.nulled,
        "failed": {str(day): str(error) for day, error in sample.failed.items()},
        "rows": sample.rows,
        "quarantined": sample.quarantined,
        "seconds": sample.seconds,
    }


def _shorten(value: Any) -> Any:
    text = str(value)
    return f"{text[: _LONGEST - 1]}…" if isinstance(value, str) and len(text) > _LONGEST else value
