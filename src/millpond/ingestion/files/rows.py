"""The rows of JSON Lines, JSON, Parquet and Excel files."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from millpond.errors import ConfigError, SourceMalformed
from millpond.ingestion.batches import BROKEN, JSON, LINE
from millpond.ingestion.files.lines import TextLines, is_decoded, printable
from millpond.ingestion.rest.bodies import as_utf8
from millpond.ingestion.rest.pages import MOST_FIELDS, PageDecoder
from millpond.ingestion.spec import SourceTable

_ROWS_AT_ONCE: Final = 20_000
_PARQUET_ROWS: Final = 50_000


def read_json_lines(
    stream: BinaryIO, encoding: str, table: SourceTable, fields: set[str]
) -> Iterator[pa.Table]:
    """Yield the lines of a file, each the JSON text of a row; adds the names of their fields to `fields`."""
    most = table.quarantine.max_row_bytes
    lines = TextLines(stream, encoding, most, "\n")
    texts: list[str] = []
    reasons: list[str | None] = []
    for line in lines:
        text, reason = line.strip(" \t\r\n"), None
        if lines.cut:
            text, reason = text[:most], f"row is larger than {most} bytes"
        if not text:
            continue
        try:
            row = orjson.loads(text)
            if isinstance(row, dict) and len(row) <= MOST_FIELDS:
                fields.update(row)
        except ValueError:  # the contract says why
            if not is_decoded(text):
                text, reason = printable(text), f"row is not {lines.encoding}"
        texts.append(text)
        reasons.append(reason)
        if len(texts) == _ROWS_AT_ONCE:
            yield _json_table(texts, reasons)
            texts, reasons = [], []
    if texts:
        yield _json_table(texts, reasons)


def read_json(
    stream: BinaryIO, encoding: str, selector: str, most: int, fields: set[str]
) -> Iterator[pa.Table]:
    """Yield the rows at `selector` of a JSON document of at most so many bytes. Raises SourceMalformed."""
    body = stream.read(most + 1)
    if len(body) > most:
        raise SourceMalformed(
            f"it is larger than {most >> 20} MB, and a JSON document is read as a whole",
            next_step="raise MILLPOND_RESPONSE_MAX_MB, or have the rows written as JSON Lines",
        )
    try:
        page = PageDecoder(selector, fields=fields)(as_utf8(body, _charset(encoding)))
    except ValueError as error:
        raise SourceMalformed(
            f"it is no list of rows: {error}",
            next_step="set data_selector in the spec; if each line is a row, set format: jsonl",
        ) from None
    texts = page.column(0).combine_chunks()
    yield pa.table({JSON: texts, BROKEN: pa.nulls(len(texts), pa.string())})


def read_parquet(stream: BinaryIO) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file, typed. Raises ArrowInvalid."""
    with pq.ParquetFile(stream, pre_buffer=False) as file:
        if len(set(file.schema_arrow.names)) < len(file.schema_arrow.names):
            raise SourceMalformed(
                "it has two columns of one name", next_step="have it written with one of each"
            )
        for batch in file.iter_batches(_PARQUET_ROWS):
            yield pa.table({name: _plain(batch.column(name)) for name in batch.schema.names})


def read_excel(stream: BinaryIO, sheet: str | None, most: int) -> Iterator[pa.Table]:
    """Yield the rows of a sheet as texts: numbers without .0, times as ISO 8601.

    The workbook may have `most` bytes when it is unpacked: it is read as a whole. Raises SourceMalformed.
    """
    try:
        import python_calamine as calamine
    except ModuleNotFoundError:
        raise ConfigError(
            "python-calamine, which reads Excel files, is not installed",
            next_step="pip install 'millpond[excel]'",
        ) from None
    try:
        book = calamine.CalamineWorkbook.from_filelike(_read_workbook(stream, most))
        if sheet is not None and sheet not in book.sheet_names:
            raise SourceMalformed(
                f"it has no sheet {sheet!r}, but {', '.join(map(repr, book.sheet_names))}",
                next_step="correct sheet in the spec",
            )
        rows = book.get_sheet_by_name(sheet or book.sheet_names[0]).to_python(skip_empty_area=True)
    except calamine.CalamineError as error:
        raise SourceMalformed(f"it is no Excel file that can be read: {error}") from None
    rows = [row for row in rows if any(cell != "" for cell in row)]
    if not rows:
        return
    head, *body = rows
    columns = list(zip(*body, strict=True)) or [() for _ in head]
    names = [_cell(name) or f"column{number}" for number, name in enumerate(head, 1)]
    if len(set(names)) < len(names):
        raise SourceMalformed("its first row names a column twice", next_step="give each column its own name")
    found = {n: pa.array(map(_cell, c), pa.string()) for n, c in zip(names, columns, strict=True)}
    marks = {mark: pa.nulls(len(body), pa.string()) for mark in (LINE, BROKEN)}
    yield pa.table({**found, **marks})


def _read_workbook(stream: BinaryIO, most: int) -> io.BytesIO:
    body = io.BytesIO(stream.read(most + 1))
    size = body.getbuffer().nbytes
    if size <= most and zipfile.is_zipfile(body):
        with zipfile.ZipFile(body) as parts:
            size = sum(part.file_size for part in parts.infolist())
    if size > most:
        raise SourceMalformed(
            f"it is larger than {most >> 20} MB unpacked, and a workbook is read as a whole",
            next_step="raise MILLPOND_RESPONSE_MAX_MB, or have the rows written as CSV or Parquet",
        )
    body.seek(0)
    return body


def _cell(value: Any) -> str | None:
    if value == "" or value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value).strip()


def _json_table(texts: Sequence[str], reasons: Sequence[str | None]) -> pa.Table:
    return pa.table({JSON: pa.array(texts, pa.string()), BROKEN: pa.array(reasons, pa.string())})


def _charset(encoding: str) -> dict[str, str]:
    return {} if encoding == "utf-8" else {"Content-Type": f"application/json; charset={encoding}"}


def _plain(values: pa.Array) -> pa.Array:
    """Return values as types that DuckDB knows."""
    kind = values.type
    if pa.types.is_decimal256(kind):
        return values.cast(pa.string())
    if pa.types.is_float16(kind):
        return values.cast(pa.float32())
    return values.cast(pa.int64()).cast(pa.string()) if pa.types.is_duration(kind) else values
