"""Checks a source step by step, from its file to the contract of its rows; nothing is written."""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from millpond.errors import (
    ConfigError,
    FieldsMissing,
    FilesMissing,
    MillpondError,
    NoRows,
    SourceError,
    SourceUnreachable,
    TimesUnreadable,
    TooManyBadRows,
)
from millpond.ingestion.files.other_days import advise_on_other_days
from millpond.ingestion.files.reader import FileReader
from millpond.ingestion.inspection.sample import Sample, take_sample
from millpond.ingestion.reader import PROBE_SECONDS, Reader, open_reader
from millpond.ingestion.reading import read_source
from millpond.ingestion.rest.reader import RestReader
from millpond.ingestion.results import WHOLE
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.partitions import Window
from millpond.redaction import redacted
from millpond.settings import Settings

NAMES: Final = ("spec", "address", "reachable", "authorised", "shape", "contract")
_DENIED: Final = re.compile(
    r"HTTP 40[137]\b|looks like a login page|may not be read|password authentication|access denied"
    r"|command denied|permission denied|authentication fail|no password supplied|no pg_hba"
    r"|role \"[^\"]*\" does not exist",
    re.I,
)
_NOWHERE: Final = re.compile(r"database \"[^\"]*\" does not exist|unknown database", re.I)


@dataclass(frozen=True)
class Step:
    """A step of a check: `table` is blank where it is about the source, `next_step` where it is ok."""

    name: str
    table: str
    state: Literal["ok", "failed", "skipped"]
    detail: str = ""
    next_step: str = ""


def check_source(file: Path, day: dt.date, configured: Settings) -> Iterator[Step]:
    """Yield the steps of checking the source in `file` by its rows of `day`; a failed one ends the others."""
    try:
        source = read_source(file)
    except ConfigError as error:
        yield _failed("spec", "", error)
        yield from (Step(name, "", "skipped") for name in NAMES[1:])
        return
    yield Step(
        "spec", "", "ok", f"{len(source.tables)} table{'s' * (len(source.tables) != 1)}, {source.kind}"
    )
    for table in source.tables:
        done = []
        for step in _check_table(source, table, day, configured):
            done.append(step.name)
            yield step
            if step.state == "failed":
                break
        yield from (Step(name, table.name, "skipped") for name in NAMES[1:] if name not in done)


def _check_table(
    source: SourceSpec, table: SourceTable, day: dt.date, configured: Settings
) -> Iterator[Step]:
    try:
        reader = _impatient(open_reader(source, table, configured))
    except MillpondError as error:
        yield _failed("address", table.name, error)
        return
    yield Step("address", table.name, "ok", redacted(reader.host or ""))
    try:
        reader.probe()
    except SourceError as error:
        name = _about(error)
        yield from (Step(each, table.name, "ok") for each in NAMES[2 : NAMES.index(name)])
        yield _failed(name, table.name, error)
        return
    yield Step("reachable", table.name, "ok")
    yield Step("authorised", table.name, "ok")
    try:
        sample = take_sample(reader, Window.of_day(day) if table.has_days else WHOLE, configured)
    except MillpondError as error:
        yield _failed("shape", table.name, error)
        return
    yield from _judge(reader, sample)


def _judge(reader: Reader, sample: Sample) -> Iterator[Step]:
    table, day = reader.table, str(sample.window) if reader.table.has_days else "the table"
    total = sample.total
    for error in sample.failed.values():
        name = _about(error)
        if name == "contract":
            yield Step("shape", table.name, "ok", f"{total.good + total.bad:,} rows of {day}")
        yield _failed("shape" if name in NAMES[:4] else name, table.name, error, _hint(reader, sample, error))
        return
    yield Step("shape", table.name, "ok", f"{total.good + total.bad:,} rows of {day}")
    counts = f"{total.good:,} good, {total.bad:,} quarantined, {total.duplicate:,} duplicates,"
    counts += (
        f" {total.outside + sample.other_days:,} out of range, {sum(total.nulled.values()):,} values nulled"
    )
    advice = "" if total.good else "check another day: --day YYYY-MM-DD"
    if total.outside and table.files:
        advice = advise_on_other_days(table)
    yield Step("contract", table.name, "ok", counts, advice)


def _hint(reader: Reader, sample: Sample, error: MillpondError) -> str:
    """Return what the rows and files that are there say about an error; blank if nothing."""
    if isinstance(error, FieldsMissing) and (field := _missing(reader.table, sample)):
        near = difflib.get_close_matches(field, sorted(sample.fields), n=1)
        return f"did you mean {near[0]}? " if near else ""
    if isinstance(error, FilesMissing) and isinstance(reader, FileReader):
        days = [each.day for each in reader.find_files(reader.configured.zone) if each.day]
        return f"check a day that has a file: --day {max(days)}; or " if days else ""
    return ""


def _missing(table: SourceTable, sample: Sample) -> str:
    """Return a declared field that no row has; blank if there is none."""
    fields = (column.path(name)[0] for name, column in table.columns.items())
    return next((field for field in fields if field not in sample.fields), "")


def _impatient(reader: Reader) -> Reader:
    """Return `reader` so that it does not repeat a request for minutes."""
    if isinstance(reader, RestReader):
        return dataclasses.replace(reader, limits=reader.limits.of_one_try(PROBE_SECONDS))
    return reader


def _about(error: MillpondError) -> str:
    """Return the step that an error of a source is about."""
    if _DENIED.search(error.what):
        return "authorised"
    if isinstance(error, SourceUnreachable) or _NOWHERE.search(error.what):
        return "reachable"
    return "contract" if isinstance(error, TooManyBadRows | TimesUnreadable | NoRows) else "shape"


def _failed(name: str, table: str, error: MillpondError, hint: str = "") -> Step:
    return Step(name, table, "failed", redacted(error.what), hint + redacted(error.next_step))
