"""Reads a dlt resource, or a function that yields rows, from a Python file in `sources/`."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from millpond.errors import SourceError, SourceMalformed
from millpond.ingestion.batches import StagedBatches
from millpond.ingestion.reader import PAGE_SHIFT, FetchResult
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.rest.placeholders import Values
from millpond.ingestion.source_errors import UNHARMED, add_place
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.staging import stage_pages
from millpond.internals.dlt import json
from millpond.partitions import Window
from millpond.redaction import excerpt
from millpond.settings import Settings

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class ResourceReader:
    """Reads the rows that a `resource` yields: dicts, lists of them, or Arrow tables and batches.

    A function is called with those of `start`, `end` (instants of the window, UTC), `window`, `url`, `user`
    and `token` that it has parameters for. So is a dlt resource that has parameters.
    """

    source: SourceSpec
    table: SourceTable
    values: Values

    @classmethod
    def of(cls, source: SourceSpec, table: SourceTable, configured: Settings) -> ResourceReader:
        """Return the reader of `table`."""
        found = configured.source(source.source)
        token = found.token.get_secret_value() if found.token else None
        return cls(source, table, placeholders.connection(found.url, found.user, token))

    @property
    def host(self) -> None:
        """The server that is asked is not known."""
        return

    def probe(self) -> None:
        """There is nothing to ask at little cost."""

    def fetch(self, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
        """Return the rows that the resource yields for `window`, staged in `folder`."""
        stream = iter(self._items(window, zone))
        try:
            first = next(stream, None)
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            first, stream = None, iter(())
            raised = [self._error(error, window)]
        else:
            raised = []
        if isinstance(first, pa.Table | pa.RecordBatch):
            staged = StagedBatches(folder)
            staged.take([lambda: self._tables(first, stream, window)], parallel=1)
            raised += staged.errors.values()
            files, rows, pages, names = staged.files, staged.rows, staged.pages, staged.names
            fields = set(names)
        else:
            pager = _JsonPages(first, stream, lambda error: raised.append(self._error(error, window)))
            files, names = stage_pages([pager.pages], folder, 1), None
            rows, pages, fields = pager.rows, pager.number, pager.fields
        return FetchResult(
            files=files,
            rows=rows,
            pages=pages,
            streams=[window.start],
            names=names,
            fields=fields if self.table.unknown_columns == "add" else set(),
            errors=raised,
            failed=dict.fromkeys(window.days, raised[0]) if raised else {},
            other_days=True,
        )

    def _items(self, window: Window, zone: ZoneInfo) -> Iterator[Any]:
        start, end = self.table.ask(window, zone) if self.table.has_days else (None, None)
        given = {"start": start, "end": end, "window": window, **self.values}
        resource = self.table.resource
        wanted = inspect.signature(resource).parameters
        arguments = {name: given[name] for name in wanted if name in given}
        return iter(resource(**arguments))

    def _tables(self, first: Any, rest: Iterator[Any], window: Window) -> Iterator[pa.Table]:
        try:
            for item in itertools.chain([first], rest):
                yield pa.Table.from_batches([item]) if isinstance(item, pa.RecordBatch) else item
        except Exception as error:
            raise self._error(error, window) from error

    def _error(self, error: Exception, window: Window) -> SourceError:
        found = error if isinstance(error, SourceError) else None
        if found is None:
            found = SourceMalformed(
                f"the resource fails: {type(error).__name__}: {excerpt(str(error))}",
                unharmed=UNHARMED,
                next_step=f"correct sources/{self.source.source}.py, or repeat the load if its server was"
                " down",
            )
        return add_place(found, self.table.describe(window))


class _JsonPages:
    """Rows that are dicts, as pages of JSON texts."""

    def __init__(self, first: Any, rest: Iterator[Any], fail: Callable[[Exception], None]) -> None:
        self._items, self._fail = itertools.chain([] if first is None else [first], rest), fail
        self.rows = self.number = 0
        self.fields: set[str] = set()

    def pages(self) -> Iterator[pa.Table]:
        try:
            for rows in self._chunks():
                texts = [json.dumps(row) for row in rows]
                start = self.number << PAGE_SHIFT
                self.number += 1
                self.rows += len(rows)
                yield pa.table({PAYLOAD: texts, "_seq": np.arange(start, start + len(rows))})
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            self._fail(error)

    def _chunks(self) -> Iterator[list[Any]]:
        held: list[Any] = []
        for item in self._items:
            for row in item if isinstance(item, list) else [item]:
                if not isinstance(row, Mapping):
                    raise TypeError(f"it yields {type(row).__name__}, not dicts or Arrow tables")
                self.fields.update(row)
                held.append(row)
                if len(held) == _ROWS_AT_ONCE:
                    yield held
                    held = []
        if held:
            yield held
