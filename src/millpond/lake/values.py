"""Values that Iceberg or its readers do not support, although Arrow's type of the column does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.types import DateType, TimestampType, TimestamptzType

from millpond.errors import SchemaConflict
from millpond.internals.pyiceberg import from_bytes

_EPOCH = dt.date(1970, 1, 1).toordinal()
_DAYS = (dt.date.min.toordinal() - _EPOCH, dt.date.max.toordinal() - _EPOCH)
_DAY_MICROSECONDS = 86_400_000_000
_MICROSECONDS = (_DAYS[0] * _DAY_MICROSECONDS, (_DAYS[1] + 1) * _DAY_MICROSECONDS - 1)
_DIGITS = 38
_TIMESTAMP = pa.timestamp("us").id
_LIMITS = {
    pa.date32().id: _DAYS,
    _TIMESTAMP: _MICROSECONDS,
    pa.time64("us").id: (0, _DAY_MICROSECONDS - 1),
}
_WITHOUT_LIMITS = {
    kind.id
    for kind in (
        pa.bool_(),
        pa.int32(),
        pa.int64(),
        pa.float32(),
        pa.float64(),
        pa.large_string(),
        pa.large_binary(),
    )
}


def refuse_values(table: str, rows: pa.Table) -> None:
    """Raise SchemaConflict, with column and value, for a value that no table can store.

    These are days outside the years 1 to 9999 (also infinite ones), times of day from 24:00 on, and numbers
    of more than 38 digits. `rows` have the types of the table.
    """
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        if _is_storable(column):
            continue
        for part in _flatten(column):
            if (found := _find_unstorable(part)) is not None:
                value, why, instead = found
                raise SchemaConflict(
                    f"{table}.{name}: the value {value} cannot be stored: {why}",
                    unharmed="the table; nothing of this write is visible",
                    next_step=f"{instead}, or null if the value is unknown",
                )


def refuse_bounds(table: str, schema: Schema, files: Iterable[DataFile]) -> None:
    """Raise SchemaConflict as `refuse_values` does, for days in data files, from their bounds."""
    for file in files:
        for bounds in (file.lower_bounds, file.upper_bounds):
            for field_id, bound in (bounds or {}).items():
                field = schema.find_field(field_id)
                if isinstance(field.field_type, DateType | TimestampType | TimestamptzType):
                    kind = pa.date32() if isinstance(field.field_type, DateType) else pa.timestamp("us")
                    value = pa.array([from_bytes(field.field_type, bound)], kind)
                    name = schema.find_column_name(field_id)
                    refuse_values(table, pa.table({str(name): value}))


def _is_storable(column: Any) -> bool:
    """Return whether a column is of a type without limits, or of days or times within them."""
    kind = column.type.id
    if kind in _WITHOUT_LIMITS:
        return True
    if (limits := _LIMITS.get(kind)) is None or (kind == _TIMESTAMP and column.type.unit != "us"):
        return False
    ends = [end.value for end in pc.min_max(column).values()]
    return ends[0] is None or (limits[0] <= ends[0] and ends[1] <= limits[1])


def _flatten(column: Any) -> Iterator[Any]:
    """Yield the columns of plain values that a column holds."""
    kind = column.type
    if pa.types.is_struct(kind):
        for part in column.flatten():
            yield from _flatten(part)
    elif pa.types.is_large_list(kind) or pa.types.is_list(kind):
        yield from _flatten(pc.list_flatten(column))
    else:
        yield column


def _find_unstorable(column: Any) -> tuple[str, str, str] | None:
    """Return a value that cannot be stored, why, and what to write instead; None if there is none."""
    kind = column.type
    if pa.types.is_decimal(kind) and kind.precision == _DIGITS:
        bounds = tuple(pa.scalar(Decimal((sign, (9,) * _DIGITS, -kind.scale)), kind) for sign in (1, 0))
        why = f"it has more than {_DIGITS} digits"
        instead = "cast it to double or varchar"
    elif pa.types.is_date32(kind):
        bounds, why = tuple(pa.scalar(day, kind) for day in _DAYS), "its year is not in 1 to 9999"
        instead = "write a date of these years"
    elif pa.types.is_timestamp(kind):
        bounds, why = tuple(pa.scalar(at, kind) for at in _MICROSECONDS), "its year is not in 1 to 9999"
        instead = "write a time of these years"
    elif pa.types.is_time64(kind):
        bounds = (pa.scalar(0, kind), pa.scalar(_DAY_MICROSECONDS - 1, kind))
        why, instead = "a day ends before 24:00", "write 00:00:00"
    else:
        return None
    least, most = bounds
    wrong = column.filter(pc.or_(pc.less(column, least), pc.greater(column, most)))
    return (_format_value(wrong[0]), why, instead) if len(wrong) else None


def _format_value(value: Any) -> str:
    """Return a value as SQL shows it; the largest values of a type are DuckDB's infinities."""
    raw = getattr(value, "value", None)
    if not isinstance(raw, int):
        return str(value.as_py())
    if abs(raw) in (2**31 - 1, 2**63 - 1):
        return "infinity" if raw > 0 else "-infinity"
    if pa.types.is_time64(value.type):
        return f"{raw // 3_600_000_000:02}:{raw // 60_000_000 % 60:02}:{raw // 1_000_000 % 60:02}"
    shown = str(pc.cast(pa.array([raw], value.type), pa.string())[0])
    days = raw if pa.types.is_date32(value.type) else raw // _DAY_MICROSECONDS
    return f"of the year {int(1970 + days / 365.2425)}" if "out of range" in shown else shown
