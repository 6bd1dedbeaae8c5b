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

from millpond.errors import ConfigError, MillpondError, SourceError, SourceUnreachable
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
    r"HTTP 40[13]\b|password authentication|access denied|permission denied|authentication fail", re.I
)
_ENOUGH: Final = 5


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
    yield from _judge(table, sample)


def _judge(table: SourceTable, sample: Sample) -> Iterator[Step]:
    for error in sample.failed.values():
        name = _about(error) if isinstance(error, SourceError) else "shape"
        yield _failed("shape" if name in NAMES[:4] else name, table.name, error)
        return
    total, day = sample.total, str(sample.window) if table.has_days else "the table"
    rows = f"{total.good + total.bad:,} rows of {day}"
    if missing := _missing(table, sample):
        names = sorted(sample.fields)
        near = difflib.get_close_matches(missing, names, n=1)
        said = f"no row of {day} has the field {missing}"
        more = f"did you mean {near[0]}? " if near else ""
        advice = f"{more}set `field:` of the column, or `optional: true`; rows have {', '.join(names[:12])}"
        yield Step("shape", table.name, "failed", said, advice)
        return
    yield Step("shape", table.name, "ok", rows)
    counts = f"{total.good:,} good, {total.bad:,} quarantined, {total.duplicate:,} duplicates,"
    counts += (
        f" {total.outside + sample.other_days:,} out of range, {sum(total.nulled.values()):,} values nulled"
    )
    limit = table.quarantine.fail_above * (total.good + total.bad)
    if total.fatal or (total.bad >= table.quarantine.least and total.bad > limit):
        often = max(total.reasons, key=lambda reason: total.reasons[reason], default="")
        advice = f"most often: {often}; `millpond sources preview {table.name} --quarantined` shows such rows"
        yield Step("contract", table.name, "failed", counts, advice)
        return
    advice = "" if total.good else "check another day: --day YYYY-MM-DD"
    yield Step("contract", table.name, "ok", counts, advice)


def _missing(table: SourceTable, sample: Sample) -> str:
    """Return a declared field that no row has; blank if there is none, or too few rows to say so."""
    if not sample.fields or sample.total.good + sample.total.bad < _ENOUGH:
        return ""
    for name, column in table.columns.items():
        field = column.path(name)[0]
        if field not in sample.fields and not column.optional and not column.required_when:
            return field
    return ""


def _impatient(reader: Reader) -> Reader:
    """Return `reader` so that it does not repeat a request for minutes."""
    if isinstance(reader, RestReader):
        return dataclasses.replace(reader, limits=reader.limits.of_one_try(PROBE_SECONDS))
    return reader


def _about(error: SourceError) -> str:
    """Return the step that an error of a source is about."""
    if _DENIED.search(error.what):
        return "authorised"
    if isinstance(error, SourceUnreachable):
        return "reachable"
    return "shape"


def _failed(name: str, table: str, error: MillpondError) -> Step:
    return Step(name, table, "failed", redacted(error.what), redacted(error.next_step))
