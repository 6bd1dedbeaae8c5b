"""Answers that are no JSON: JSON Lines and CSV, as the JSON list of their rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Final

from millpond.ingestion.rest.endpoint import Endpoint
from millpond.ingestion.rest.selection import parse_json

_TYPES: Final = {
    **dict.fromkeys(
        ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"),
        "jsonl",
    ),
    **dict.fromkeys(("application/jsonlines", "application/json-lines", "application/json-seq"), "jsonl"),
    **dict.fromkeys(("text/csv", "application/csv"), "csv"),
}
"""Formats by content type."""
_HALVES: Final = re.compile(rb"(\\udc[89a-f][0-9a-f])\1")
"""A byte that is no UTF-8, as `bodies` writes it into JSON."""


def to_json(text: bytes, headers: Mapping[str, str], endpoint: Endpoint | None) -> bytes:
    """Return the rows of an answer, UTF-8 `text`, as a JSON list; as it is if it is JSON.

    Its format is what `endpoint` declares, or else the content type says. Raises ValueError.
    """
    kind = endpoint.format if endpoint else None
    if kind is None and not text.lstrip().startswith((b"[", b"{")):
        kind = "csv" if _format_of(headers) == "csv" else None
    if kind is None and not text.lstrip().startswith(b"["):
        kind = "jsonl" if _format_of(headers) == "jsonl" else None
    if kind == "jsonl":
        return _lines_to_json(text)
    if kind == "csv":
        if _HALVES.search(text):
            raise ValueError("it is no UTF-8")
        return _csv_to_json(text, endpoint.delimiter if endpoint else ",")
    return text


def _format_of(headers: Mapping[str, str]) -> str | None:
    return _TYPES.get(headers.get("Content-Type", "").partition(";")[0].strip().lower())


def _lines_to_json(text: bytes) -> bytes:
    lines = [line.strip(b" \t\r\x1e") for line in text.split(b"\n")]
    lines = [line for line in lines if line]
    body = b"[" + b",".join(lines) + b"]"
    found = len(parse_json(body))
    if found != len(lines):
        raise ValueError(f"it is no JSON Lines: {len(lines)} lines hold {found} values")
    return body


def _csv_to_json(text: bytes, delimiter: str) -> bytes:
    """Return the rows as objects of texts, null where a value is empty; a row of another length as a list."""
    try:
        rows = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter, strict=True)
        header, *found = [row for row in rows if row]
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise ValueError(f"it is no CSV ({error})") from None
    except ValueError:
        raise ValueError("it is empty: CSV has at least a header") from None
    if len({*header}) < len(header) or not all(header):
        raise ValueError("its header has a name twice, or a column without one")
    return json.dumps(
        [
            {name: value or None for name, value in zip(header, row, strict=True)}
            if len(row) == len(header)
            else row
            for row in found
        ],
        ensure_ascii=False,
    ).encode()
