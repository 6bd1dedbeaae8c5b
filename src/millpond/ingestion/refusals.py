"""Why days that were fetched are not loaded: the one judgement of loads, checks and previews."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from millpond.errors import MillpondError, NoRows, TooManyBadRows
from millpond.ingestion.frozen_columns import find_unknown_fields
from millpond.ingestion.missing_fields import find_missing_fields, report_missing_fields
from millpond.ingestion.reader import FetchResult
from millpond.ingestion.refused import replay_advice
from millpond.ingestion.spec import SourceTable
from millpond.ingestion.unreadable_times import find_uncertain_days
from millpond.ingestion.validated_rows import Counts, ValidatedRows
from millpond.naming import agree, pluralize
from millpond.partitions import Window


def find_refused_days(
    source: str,
    table: SourceTable,
    fetched: FetchResult,
    validated: ValidatedRows,
    ref: str,
    *,
    kept: bool = True,
) -> dict[dt.date, MillpondError]:
    """Return an error for each day whose rows are not to be loaded: not read whole, or not to be trusted.

    With `kept` the errors name the commands for the rows of such days, which a load keeps.
    """
    missing = find_missing_fields(validated, ref)
    return {
        **find_uncertain_days(table, validated, ref),
        **find_unknown_fields(source, table, validated, ref),
        **report_missing_fields(source, table, missing, ref),
        **_find_bad_days(table, validated.counts, missing, ref, kept=kept),
        **fetched.failed,
    }


def _find_bad_days(
    table: SourceTable,
    counts: Mapping[dt.date, Counts],
    missing: Mapping[dt.date, str],
    ref: str,
    *,
    kept: bool,
) -> dict[dt.date, MillpondError]:
    failed: dict[dt.date, MillpondError] = {}
    for day, found in counts.items():
        limit, bad = table.quarantine.fail_above, found.bad - found.undated
        reasons = sorted(found.reasons.items(), key=lambda item: -item[1])[:3]
        often = "; ".join(f"{reason} ({rows})" for reason, rows in reasons)
        also = f"; {missing[day]}" if day in missing else ""
        replay = replay_advice(table, Window.of_day(day), ref) if kept else _preview_advice(table, day)
        if fatal := sorted(found.fatal):
            failed[day] = TooManyBadRows(
                f"{table.describe(day)}: {'; '.join(fatal)}, and the contract says on_bad: fail for that",
                unharmed="the day as it was loaded before; nothing of it was written",
                next_step=f"see what the source sends, then fix it there, or set on_bad: quarantine{replay}",
            )
        elif bad >= table.quarantine.least and bad > limit * (found.good + bad):
            failed[day] = TooManyBadRows(
                f"{table.describe(day)}: {bad} of {pluralize(found.good + bad, 'row')}"
                f" {agree(bad, 'break')} the contract, more than {limit:.0%}; most often: {often}{also}",
                unharmed="the day as it was loaded before; nothing of it was written",
                next_step="see what the source sends, then fix it there, or change the contract"
                f" or quarantine.fail_above{replay}",
            )
        elif found.rows == found.outside and not table.allow_empty and table.load != "changes":
            failed[day] = NoRows(
                f"{table.describe(day)}: the source has no rows",
                unharmed="the day as it was loaded before; nothing of it was written",
                next_step="see whether the source is complete, or set allow_empty: true in the spec",
            )
    return failed


def _preview_advice(table: SourceTable, day: dt.date) -> str:
    option = f" --day {day}" if table.has_days else ""
    return f"; `millpond sources preview {table.name}{option} --quarantined` shows such rows"
