"""Reading tables of a ref or of a pin as Arrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import pyarrow as pa
from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual, Reference
from pyiceberg.table import Table

from millpond.errors import ConfigError, TableNotFound
from millpond.lake.catalog import LakeCatalog
from millpond.lake.connect import borrow_connection
from millpond.lake.files import name_read_errors
from millpond.lake.pins import Pin
from millpond.lake.pointers import read_pointers
from millpond.lake.rows import gather
from millpond.lake.schema import arrow_schema
from millpond.lake.windows import Windows
from millpond.naming import table_name
from millpond.partitions import Window


def list_tables(ref: str | Pin) -> list[str]:
    """Return the names `<layer>.<table>` of all tables, sorted. Raises RefNotFound."""
    return sorted(_read_pointers(ref))


def exists(ref: str | Pin, table: str) -> bool:
    """Return whether `table` exists. Raises RefNotFound."""
    return table in _read_pointers(ref, table)


def count(ref: str | Pin, table: str, *, window: Window | None = None) -> int:
    """Return the number of rows of `table`, or of a window of it. Raises TableNotFound, RefNotFound."""
    found = load_table(ref, table)
    with name_read_errors(table):
        return found.scan(row_filter=Windows.of(window).filter(_get_window_column(found, window))).count()


def scan(
    ref: str | Pin,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    window: Window | Windows | None = None,
) -> pa.Table:
    """Return the rows of `table`, or of a window (or several) of it, in no particular order.

    Raises TableNotFound, RefNotFound.
    """
    found = load_table(ref, table)
    row_filter = Windows.of(window).filter(_get_window_column(found, window))
    with name_read_errors(table):
        return found.scan(row_filter=row_filter, selected_fields=tuple(columns or ("*",))).to_arrow()


def scan_pieces(
    ref: str | Pin,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    window: Window | Windows | None = None,
    between: tuple[str, object, object] | None = None,
) -> Iterator[pa.Table]:
    """Yield the rows of `table`, or of a window (or several) of it, in pieces of bounded size, in no order.

    There is at least one, which may be empty. `between` are a column and the least and the greatest value of
    it that rows have. Raises TableNotFound, RefNotFound.
    """
    found = load_table(ref, table)
    row_filter = Windows.of(window).filter(_get_window_column(found, window))
    if between:
        name, least, most = between
        of = Reference(name)
        row_filter = And(
            row_filter, GreaterThanOrEqual(term=of, value=least), LessThanOrEqual(term=of, value=most)
        )
    schema = arrow_schema(found.schema())
    if columns:
        schema = pa.schema([schema.field(name) for name in columns])
    with name_read_errors(table):
        scan = found.scan(row_filter=row_filter, selected_fields=tuple(columns or ("*",)))
        batches = (pa.Table.from_batches([batch]) for batch in scan.to_arrow_batch_reader())
        rows = (batch.select(schema.names).cast(schema) for batch in batches)
        yield from gather(chain([schema.empty_table()], rows))


def load_table(ref: str | Pin, table: str) -> Table:
    """Return the table as PyIceberg's, for anything else. Raises TableNotFound, RefNotFound."""
    table_name(table)
    location = _read_pointers(ref, table).get(table)
    name = ref.ref if isinstance(ref, Pin) else ref
    if location is None:
        raise TableNotFound(
            f"there is no table {table} on ref {name}",
            unharmed="everything; nothing was read or written",
            next_step="`millpond tables` lists the tables; materialize the asset that writes this one",
        )
    return LakeCatalog(name).table_at(table, location)


def _read_pointers(ref: str | Pin, table: str | None = None) -> dict[str, str]:
    if isinstance(ref, Pin):
        return dict(ref.pointers)
    with borrow_connection() as conn:
        return read_pointers(conn, ref, None if table is None else (table,))


def _get_window_column(table: Table, window: Window | Windows | None) -> str | None:
    column = table.properties.get("millpond.window_column")
    if window is not None and not column:
        raise ConfigError(
            f"table {'.'.join(table.name())} has no window column, by which a window is read",
            next_step="read all of it and filter",
        )
    return column
