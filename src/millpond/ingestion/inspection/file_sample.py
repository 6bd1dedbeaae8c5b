"""A sample of a file: how it is written, its fields, and its first rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO, Final

from requests import Response

from millpond.errors import ConfigError, MillpondError
from millpond.ingestion.batches import BROKEN, LINE
from millpond.ingestion.files.delimited import ROWS_AT_ONCE, read_csv
from millpond.ingestion.files.lines import BROKEN_ARCHIVE, TextLines, decompress, is_decoded
from millpond.ingestion.files.place import Place
from millpond.ingestion.files.rows import read_excel, read_parquet
from millpond.ingestion.files.spec import Csv, FileSet
from millpond.ingestion.inspection.fields import Field, Rows, list_fields
from millpond.ingestion.inspection.options import UNHARMED
from millpond.ingestion.inspection.rest_answers import find_rows
from millpond.ingestion.inspection.texts import list_text_fields, uses_comma
from millpond.ingestion.spec import SourceTable
from millpond.redaction import excerpt

ROWS: Final = 1_000
_LINE: Final = 1 << 20
_FOOTER: Final = re.compile(
    r"\W*((grand|sub)?[ _-]?total|sum(me)?|insgesamt|gesamt\w*|somme|totale?|trailer|records?|rows?|end)\b",
    re.I,
)
_MOST_EXCEL: Final = 256 << 20
_BLANK: Final = {"name": "sample", "key": ["id"], "load": "whole", "columns": {"id": "string"}}


@dataclass(frozen=True)
class FileSample:
    """The fields and rows of a file; `declared` is what the spec has to say of files like it."""

    fields: list[Field]
    rows: Rows
    declared: dict[str, Any] = field(default_factory=dict)


def sample_file(place: Place, path: str, kind: str) -> FileSample:
    """Return a sample of the file at `path`; raises ConfigError where it has no rows, or no known form."""
    try:
        found = _SAMPLERS[kind](place, path)
    except KeyError:
        raise ConfigError(
            f"{place.show(path)} has no format that is known",
            unharmed=UNHARMED,
            next_step="name files of csv, jsonl, json, parquet or excel by --path",
        ) from None
    except (*BROKEN_ARCHIVE, ValueError) as error:
        raise ConfigError(
            f"{place.show(path)} cannot be read: {excerpt(str(error))}",
            unharmed=UNHARMED,
            next_step="see what is in the file, or name others by --path",
        ) from None
    if not found.rows:
        raise ConfigError(
            f"{place.show(path)} has no rows, so nothing can be proposed",
            unharmed=UNHARMED,
            next_step="name files that have rows by --path",
        )
    return found


def _sample_csv(place: Place, path: str) -> FileSample:
    encoding = _encoding(place, path)
    declared: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
    dialect: dict[str, Any] = {"skip_footer": 1} if _has_footer(place, path, encoding) else {}
    rows = _read_csv(place, path, encoding, Csv(**dialect))
    if rows and not _is_header(list(rows[0])):
        dialect["header"] = False
        rows = _read_csv(place, path, encoding, Csv(**dialect))
    if uses_comma(rows):
        dialect["decimal"] = ","
    fields, typed = list_text_fields(rows)
    return FileSample(fields, typed, {**declared, **({"csv": dialect} if dialect else {})})


def _has_footer(place: Place, path: str, encoding: str) -> bool:
    """Return whether the last line of a file of a few rows is a total, or says how many rows there are."""
    table = SourceTable.model_validate(_BLANK)
    with _open(place, path) as stream:
        batch = next(iter(read_csv(stream, encoding, Csv(), table)), None)
    if batch is None or not 1 < len(batch) < ROWS_AT_ONCE:
        return False
    last = batch.slice(len(batch) - 1).to_pylist()[0]
    text = last[LINE] or next((value for value in last.values() if value), "")
    return _FOOTER.match(text) is not None


def _read_csv(place: Place, path: str, encoding: str, dialect: Csv) -> list[dict[str, str | None]]:
    table = SourceTable.model_validate(_BLANK)
    with _open(place, path) as stream:
        return [
            {name: row[name] or None for name in row if name not in {LINE, BROKEN}}
            for batch in islice(read_csv(stream, encoding, dialect, table), 1)
            for row in batch.slice(0, ROWS).to_pylist()
            if not row.get(BROKEN)
        ]


def _is_header(names: list[str]) -> bool:
    """Return whether the first line names fields: none of its texts is a number or a time."""
    fields, _ = list_text_fields([{f"f{number}": name for number, name in enumerate(names)}])
    return all(found.type == "string" for found in fields)


def _sample_lines(place: Place, path: str) -> FileSample:
    encoding = _encoding(place, path)
    with _open(place, path) as stream:
        texts = islice((line for line in TextLines(stream, encoding, _LINE, "\n") if line.strip()), ROWS)
        rows = [row for row in map(_as_object, texts) if row is not None]
    declared = {} if encoding == "utf-8" else {"encoding": encoding}
    return FileSample(list_fields(rows), rows, declared)


def _as_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _sample_json(place: Place, path: str) -> FileSample:
    with _open(place, path) as stream:
        answer = find_rows(Response(), json.loads(stream.read().decode("utf-8-sig")))
    rows = answer.rows[:ROWS]
    return FileSample(
        list_fields(rows), rows, {} if answer.selector == "$" else {"data_selector": answer.selector}
    )


def _sample_parquet(place: Place, path: str) -> FileSample:
    with _open(place, path) as stream:
        rows = [row for batch in islice(read_parquet(stream), 1) for row in batch.slice(0, ROWS).to_pylist()]
    return FileSample(list_fields(rows), rows)


def _sample_excel(place: Place, path: str) -> FileSample:
    with _open(place, path) as stream:
        rows = [
            {name: value for name, value in row.items() if name not in {LINE, BROKEN}}
            for batch in islice(read_excel(stream, None, _MOST_EXCEL), 1)
            for row in batch.slice(0, ROWS).to_pylist()
        ]
    fields, typed = list_text_fields(rows)
    return FileSample(fields, typed)


_SAMPLERS: Final = {
    "csv": _sample_csv,
    "jsonl": _sample_lines,
    "json": _sample_json,
    "parquet": _sample_parquet,
    "excel": _sample_excel,
}


@contextmanager
def _open(place: Place, path: str) -> Iterator[BinaryIO]:
    with closing(place.open(path)) as stream, closing(decompress(stream, path)) as content:
        yield content


def _encoding(place: Place, path: str) -> str:
    with _open(place, path) as stream:
        lines: Iterator[str] = iter(TextLines(stream, "utf-8", _LINE, "\n"))
        try:
            return "utf-8" if all(is_decoded(line) for line in islice(lines, ROWS)) else "cp1252"
        except MillpondError:
            return "utf-8"


def kind_of(path: str) -> str | None:
    """Return the format that a file's name says."""
    return FileSet.model_construct(path=path, format=None).kind
