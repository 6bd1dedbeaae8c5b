"""Opens the resource of a Python file: whatever it is, its items are dicts or Arrow tables."""

from __future__ import annotations

import datetime as dt
import inspect
import json as standard_json
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import pyarrow as pa

from millpond.ingestion.sql.arrow_rows import as_text
from millpond.internals.dlt import json

Arguments = Mapping[str, Any]
_VALUES: Final = (Decimal, bytes, dt.datetime, dt.date, dt.time, UUID)
_GIVEN: Final = "start, end, window, url, user and token"


def open_items(resource: Any, given: Arguments) -> Iterator[dict[str, Any] | pa.Table]:
    """Yield the rows of `resource` as dicts, or its Arrow tables; it is called with what it takes of `given`.

    Raises TypeError for what is neither rows nor Arrow, and whatever the resource raises.
    """
    yield from _flatten(_call(resource, given))


def _call(resource: Any, given: Arguments) -> Any:
    if not callable(resource):
        return resource
    parameters = inspect.signature(resource).parameters.values()
    arguments = {each.name: given[each.name] for each in parameters if each.name in given}
    if not arguments and getattr(resource, "args_bound", False):
        return resource  # of dlt, which is called with its arguments already
    for each in parameters:
        needed = each.default is each.empty and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        if needed and each.name not in given and not getattr(resource, "is_transformer", False):
            raise TypeError(f"it has the parameter {each.name} without a default; it may have {_GIVEN}")
    return resource(**arguments)


def _flatten(found: Any) -> Iterator[dict[str, Any] | pa.Table]:
    """Yield the rows and tables in what a resource returned or yielded, lists taken apart."""
    if found is None:
        return
    if isinstance(found, Mapping):
        yield dict(found)
    elif isinstance(found, pa.Table):
        yield found
    elif isinstance(found, pa.RecordBatch):
        yield pa.Table.from_batches([found])
    elif type(found).__module__.startswith("pandas.") and hasattr(found, "columns"):
        yield pa.Table.from_pandas(found, preserve_index=False)
    elif hasattr(found, "__arrow_c_stream__"):
        yield pa.table(found)
    elif isinstance(found, AsyncIterator | Awaitable):
        import dlt

        rows: Any = dlt.resource
        yield from _flatten(rows(found, name="rows"))
    elif isinstance(found, str | bytes) or not isinstance(found, Iterable):
        raise TypeError(f"it yields {type(found).__name__}, not dicts, lists of dicts or Arrow tables")
    else:
        selected = getattr(found, "selected_resources", None)
        if selected is not None and len(selected) != 1:
            raise TypeError(
                f"it is a dlt source with {len(selected)} resources; choose one, for example with"
                f" .with_resources({next(iter(selected), 'orders')!r})"
            )
        for each in found:
            yield from _flatten(each)


def to_json(row: Mapping[str, Any]) -> str:
    """Return a row as JSON: Decimals as text, bytes in base64, numbers of any size."""
    with suppress(TypeError):  # whole numbers of more than 64 bits, or text that UTF-8 has nothing for
        text: str = json.dumps(row)
        return text
    return standard_json.dumps(row, default=_encode)


def _encode(value: Any) -> str:
    if not isinstance(value, _VALUES):
        raise TypeError(f"it yields a row with a {type(value).__name__}, which JSON has nothing for")
    return str(as_text(value))
