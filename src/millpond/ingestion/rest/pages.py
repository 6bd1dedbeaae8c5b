"""An answer's body as a column of rows, each the exact JSON text that the source sent."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from millpond.ingestion.json_sql import LEAST_MILLISECONDS, split_index
from millpond.ingestion.rest.selection import (
    is_beside,
    kind_of,
    names_are_repeated,
    parse_integer,
    parse_json,
    select_rows,
)
from millpond.lake.hashing import Words, splitmix

PAYLOAD: Final = "_payload"
TIME: Final = "_time"
KEY: Final = "_key"
REST: Final = b"rest"
"""Metadata of a page: the JSON around its rows, another list in their place; where that is known."""
MOST_FIELDS: Final = 1_000
"""A row with more fields is data in disguise; they do not become columns."""
_QUOTE, _COMMA, _OPEN, _CLOSE = 34, 44, (91, 123), (93, 125)
_WIDE: Final = 16
"""Bytes between two rows up to which all gaps of a page are worked on at once."""
_BETWEEN_OBJECTS: Final = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")
_WHERE: Final = "; endpoint.data_selector in the spec says where in it the list of rows is"
_LARGE: Final = 1 << 63
_WORD: Final = (1 << 64) - 1
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class PageDecoder:
    """Turns a body into a page: a table of `_payload`, `_time` (microseconds, null where no time is declared)
    and, if asked for, `_key`.

    `selector` is the JSONPath of the list of rows, `time` the keys that lead to a row's time, and its unit;
    `key` are the ways to the parts of a row's key, of which `_key` is a hash that holds for this process.
    The names of all fields seen are gathered in `fields`, except of rows with more than MOST_FIELDS.
    """

    selector: str = "$"
    time: tuple[tuple[str, ...], str] | None = None
    fields: set[str] | None = None
    key: tuple[tuple[str, ...], ...] = ()
    not_errors: tuple[str, ...] = ()
    """Fields beside the rows that mean no failure, whatever they are called."""
    single_object: bool = False
    """Whether `selector` leads to one object, which is the only row, in place of a list."""
    zone: dt.tzinfo = dt.UTC
    """The one of days, and of times of the unit local without an offset."""
    included: Mapping[str, Any] = field(default_factory=dict)
    """Fields that each row gets beside its own."""

    def __call__(self, body: bytes | None) -> pa.Table:
        """Return the page of a UTF-8 `body`, an empty one if there is none.

        Raises ValueError if the body is no list of JSON values.
        """
        body = b"[]" if body is None else body.strip(b" \t\r\n")
        if body == b"null" and self.selector == "$" and not self.single_object:
            body = b"[]"
        rows, rest = None, None
        if (self.selector != "$" or self.single_object) and body != b"[]":
            ways = [*self.key, *([self.time[0]] if self.time else [])]
            fields = {way[0] for way in ways if way}
            body, rows, rest = select_rows(body, self.selector, self.not_errors, self.single_object, fields)
        rows = _parse(body) if rows is None else rows
        texts = _texts(body, rows)
        columns = {PAYLOAD: _with_distinct_names(texts) if names_are_repeated(body, rows) else texts}
        if self.included:
            columns[PAYLOAD] = _with_fields(columns[PAYLOAD], self.included)
            rows = [{**self.included, **row} if isinstance(row, dict) else row for row in rows]
        if self.fields is not None:
            self.fields.update(*_modest(rows))
        no_times = pa.nulls(len(rows), pa.int64())
        columns[TIME] = _times(rows, *self.time, self.zone) if self.time else no_times
        if self.key:
            columns[KEY] = _keys(rows, columns[PAYLOAD], self.key)
        return pa.table(columns, metadata={REST: rest} if rest else None)


def read_rest(page: pa.Table, path: str, selector: str) -> Any:
    """Return the JSON around the rows of `page`; None if unknown, or if `path` may lead to the rows."""
    rest = (page.schema.metadata or {}).get(REST)
    return orjson.loads(rest) if rest and is_beside(path, selector) else None


def _parse(body: bytes) -> list[Any]:
    rows = parse_json(body)
    if not isinstance(rows, list):
        raise ValueError(
            f"a list was expected, not {kind_of(rows)}{_WHERE if isinstance(rows, dict) else ''}"
        )
    return rows


def _texts(body: bytes, rows: Sequence[Any]) -> pa.Array:
    """Return the text of each of the `rows` that `body` holds, with blanks before it."""
    if not rows:
        return pa.array([], pa.string())
    gaps = _gaps(body)
    if len(gaps) != len(rows) - 1 or set(map(type, rows)) != {dict}:
        commas = _commas(body)
        gaps = np.stack([commas, commas + 1], axis=1)
    text = np.frombuffer(body, np.uint8).copy()
    widths = gaps[:, 1] - gaps[:, 0]
    for place in range(min(widths.max(initial=0), _WIDE)):
        text[gaps[widths > place, 0] + place] = ord(" ")
    for start, end in gaps[widths > _WIDE]:
        text[start:end] = ord(" ")
    offsets = np.concatenate(([1], gaps[:, 0], [len(body) - 1])).astype(np.int32)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(text))


def _with_distinct_names(texts: pa.Array) -> pa.Array:
    """Return `texts` with those written anew in which an object has a name twice; the last value counts."""
    return pa.array([_distinct(text) for text in texts.cast(pa.binary()).to_pylist()], pa.binary()).cast(
        pa.string(), safe=False
    )


def _with_fields(texts: pa.Array, fields: Mapping[str, Any]) -> pa.Array:
    """Return the `texts` of objects with `fields` before their own."""
    start = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    found = []
    for text in texts.cast(pa.binary()).to_pylist():
        row = text.strip()
        if row.startswith(b"{"):
            rest = row[1:].lstrip()
            row = start + (b"" if rest.startswith(b"}") else b",") + rest
        found.append(row)
    return pa.array(found, pa.binary()).cast(pa.string(), safe=False)


def _distinct(text: bytes) -> bytes:
    repeated = False

    def last(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        found = dict(pairs)
        repeated = repeated or len(found) < len(pairs)
        return found

    try:
        row = json.loads(text, object_pairs_hook=last, parse_int=parse_integer)
    except (ValueError, RecursionError):
        return text
    return json.dumps(row).encode() if repeated else text


def _gaps(body: bytes) -> Any:
    """Return start and end of whatever stands between a closing brace and an opening one, if a comma does.

    A list of n objects has n - 1 of these between them; if there are no more, none is inside an object.
    """
    signs = np.frombuffer(body, np.uint8)
    starts = np.flatnonzero(signs[:-2] == ord("}")) + 1
    commas = _past_blanks(signs, starts)
    if commas is not None:
        starts, commas = starts[signs[commas] == _COMMA], commas[signs[commas] == _COMMA]
        ends = _past_blanks(signs, commas + 1)
        if ends is not None:
            return np.stack([starts, ends], axis=1)[signs[ends] == ord("{")]
    spans = [(m.start() + 1, m.end() - 1) for m in _BETWEEN_OBJECTS.finditer(body)]
    return np.array(spans, np.int64).reshape(-1, 2)


def _past_blanks(signs: Any, places: Any) -> Any:
    """Return where from each of `places` on the first sign is that is no blank; None if too far away."""
    for _ in range(_WIDE):
        blank = _BLANK[signs[places]]
        if not blank.any():
            return places
        places = places + blank
    return None


def _commas(body: bytes) -> Any:
    """Return where the commas between the elements of the JSON list `body` are."""
    plain = body.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    signs = np.frombuffer(plain, np.uint8)
    marks = np.flatnonzero(_MARKS[signs])
    kinds = signs[marks]
    outside = (np.cumsum(kinds == _QUOTE, dtype=np.int32) & 1) == 0
    steps = np.where(outside, _STEPS[kinds], 0)
    return marks[(kinds == _COMMA) & outside & (np.cumsum(steps, dtype=np.int32) == 1)]


def _table(values: dict[int, int]) -> Any:
    table = np.zeros(256, np.int8)
    for sign, value in values.items():
        table[sign] = value
    return table


_STEPS: Final = _table({**dict.fromkeys(_OPEN, 1), **dict.fromkeys(_CLOSE, -1)})
_BLANK: Final = _table(dict.fromkeys(b" \t\r\n", 1)).astype(np.bool_)
_MARKS: Final = _table(dict.fromkeys((_QUOTE, _COMMA, *_OPEN, *_CLOSE), 1)).astype(np.bool_)


def _modest(rows: Sequence[Any]) -> Sequence[Any]:
    """Return those of the `rows` that have fields, and not too many."""
    if set(map(type, rows)) == {dict} and max(map(len, rows)) <= MOST_FIELDS:
        return rows
    return [row for row in rows if type(row) is dict and len(row) <= MOST_FIELDS]


def _keys(rows: Sequence[Any], texts: pa.Array, paths: Sequence[Sequence[str]]) -> pa.Array:
    """Return a digest of each row's key, of type and value; of the whole row where a part is missing."""
    parts = [_values(rows, path) for path in paths]
    hashes = np.zeros(len(rows), np.uint64)
    for part in parts:
        hashes = splitmix(hashes ^ _hash_values(part))
    if any(None in part for part in parts):
        for index, values in enumerate(zip(*parts, strict=True)):
            if None in values:
                hashes[index] = hash(texts[index].as_py().strip()) & _WORD
    return pa.array(hashes.view(np.int64))


def _hash_values(values: Sequence[Any]) -> Words:
    """Return a hash of each value, equal where type and value are: Python's is the same for -1 and -2."""
    kinds = set(map(type, values))
    if kinds == {int} and min(values) >= -_LARGE and max(values) < _LARGE:
        return splitmix(np.array(values, np.int64).view(np.uint64))
    hashes = map(hash if kinds == {str} else _hash_value, values)
    return np.fromiter(hashes, np.int64, len(values)).view(np.uint64)


def _hash_value(value: Any) -> int:
    if value is None or isinstance(value, str):
        return hash(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is int and -_LARGE <= value < _LARGE:
        return int(splitmix(np.array([value], np.int64).view(np.uint64)).view(np.int64)[0])
    return hash((type(value).__name__, hex(value) if type(value) is int else repr(value)))


def _values(rows: Sequence[Any], keys: Sequence[str]) -> list[Any]:
    found = list(rows)
    for name, index in map(split_index, keys):
        found = [row.get(name) if type(row) is dict else None for row in found]
        for place in map(int, re.findall(r"\d+", index)):
            found = [row[place] if type(row) is list and place < len(row) else None for row in found]
    return found


def _times(rows: Sequence[Any], keys: Sequence[str], unit: str, zone: dt.tzinfo) -> pa.Array:
    rows = _values(rows, keys)
    if unit == "iso":
        return _iso_times(rows)
    if unit in {"local", "date"}:
        days = unit == "date"
        return pa.array(
            [_from_iso(v[:10] if days and isinstance(v, str) else v, zone) for v in rows], pa.int64()
        )
    factor, least, limit = (1_000, LEAST_MILLISECONDS, 1 << 52) if unit == "ms" else (1_000_000, 0, 1 << 42)
    if set(map(type, rows)) == {int} and least <= min(rows) and max(rows) < limit:
        return pa.array(np.array(rows, np.int64) * factor)
    numbers = [value if type(value) is int else _number(value) for value in rows]
    return pa.array(
        [n * factor if n is not None and least <= abs(n) < limit else None for n in numbers], pa.int64()
    )


def _iso_times(values: Sequence[Any]) -> pa.Array:
    try:  # of times that all have an offset and microseconds at most, as on nearly all pages
        return pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeError):
        return pa.array([_from_iso(value) for value in values], pa.int64())


def _number(value: Any) -> int | None:
    try:
        return int(float(value))
    except (ValueError, TypeError, OverflowError):
        return None


def _from_iso(value: Any, zone: dt.tzinfo = dt.UTC) -> int | None:
    try:
        moment = dt.datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)
