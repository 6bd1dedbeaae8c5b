"""Reads a dlt resource, or a function that yields rows, from a Python file in `sources/`."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from millpond.errors import SourceError, SourceMalformed, SourceRefused, SourceUnreachable
from millpond.ingestion.batches import StagedBatches
from millpond.ingestion.reader import PAGE_SHIFT, FetchResult, read_values
from millpond.ingestion.resource_items import open_items, to_json
from millpond.ingestion.rest.pages import PAYLOAD
from millpond.ingestion.rest.placeholders import Values
from millpond.ingestion.source_errors import UNHARMED, add_place
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.staging import stage_pages
from millpond.partitions import Window
from millpond.redaction import excerpt
from millpond.settings import Settings

_ROWS_AT_ONCE = 10_000
_MIXED = "it yields both dicts and Arrow tables; let it yield one of them"


@dataclass(frozen=True)
class ResourceReader:
    """Reads the rows that a `resource` yields: dicts, lists of them, or Arrow tables and batches.

    A function is called with those of `start`, `end` (instants of the window, UTC), `window`, `url`, `user`
    and `token` that it has parameters for. So is a dlt resource that has parameters. Of tables that are
    loaded whole, the first three are None.
    """

    source: SourceSpec
    table: SourceTable
    values: Values

    @classmethod
    def of(cls, source: SourceSpec, table: SourceTable, configured: Settings) -> ResourceReader:
        """Return the reader of `table`."""
        return cls(source, table, read_values(source, configured))

    @property
    def host(self) -> None:
        """The server that is asked is not known."""
        return

    def probe(self) -> None:
        """There is nothing to ask at little cost."""

    def fetch(self, window: Window, zone: ZoneInfo, folder: Path) -> FetchResult:
        """Return the rows that the resource yields for `window`, staged in `folder`."""
        items = open_items(self.table.resource, self._given(window, zone))
        errors: list[SourceError] = []
        try:
            first = next(items, None)
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            first, items = None, iter(())
            errors.append(self._error(error, window))
        names: list[str] | None = None
        held: pa.Table | None = None
        if isinstance(first, pa.Table):
            staged = StagedBatches(folder)
            staged.take([lambda: self._tables(first, items, window)], parallel=1)
            errors += staged.errors.values()
            files, rows, pages, names = staged.files, staged.rows, staged.pages, staged.names
            held = staged.held
            fields = set(names)
        else:
            pager = _JsonPages(first, items, lambda error: errors.append(self._error(error, window)))
            files = stage_pages(pager.pages, folder)
            rows, pages, fields = pager.rows, pager.number, pager.fields
        return FetchResult(
            files=files,
            held=held,
            rows=rows,
            pages=pages,
            streams=[window.start],
            names=names,
            fields=fields if self.table.unknown_columns == "add" else set(),
            errors=errors,
            failed=dict.fromkeys(window.days, errors[0]) if errors else {},
            other_days=True,
        )

    def _given(self, window: Window, zone: ZoneInfo) -> dict[str, Any]:
        start, end = self.table.ask(window, zone)
        times = {"start": start, "end": end, "window": window}
        if self.table.load == "whole":
            times = dict.fromkeys(times)
        return {**times, **{name: self.values[name] for name in ("url", "user", "token")}}

    def _tables(self, first: pa.Table, rest: Iterator[Any], window: Window) -> Iterator[pa.Table]:
        try:
            for item in itertools.chain([first], rest):
                if not isinstance(item, pa.Table):
                    raise TypeError(_MIXED)
                yield item
        except Exception as error:
            raise self._error(error, window) from error

    def _error(self, error: Exception, window: Window) -> SourceError:
        file = f"sources/{self.source.source}.py"
        root = error
        while isinstance(inner := _cause_of(root), Exception):
            root = inner
        found = next((each for each in (error, root) if isinstance(each, SourceError)), None)
        if found is None:
            line = next(
                (n for frame, n in traceback.walk_tb(root.__traceback__) if _is_of(frame, file)), None
            )
            place = f"{file}, line {line}" if line else file
            text = f"{type(root).__name__}: {excerpt(str(root), 300)}"
            if isinstance(root, TypeError) and str(root).startswith("it "):
                found = SourceRefused(
                    f"{file}: the resource cannot be read: {excerpt(str(root), 300)}",
                    unharmed=UNHARMED,
                    next_step=f"correct {file}",
                )
            else:
                kind = SourceUnreachable if isinstance(root, OSError) else SourceMalformed
                found = kind(
                    f"{place}: the resource fails: {text}",
                    unharmed=UNHARMED,
                    next_step=f"correct {file}, or repeat the load if its server was down",
                )
        return add_place(found, self.table.describe(window))


def _cause_of(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _is_of(frame: FrameType, file: str) -> bool:
    return frame.f_code.co_filename.endswith(f"/{file}")


class _JsonPages:
    """Rows that are dicts, as pages of JSON texts."""

    def __init__(self, first: Any, rest: Iterator[Any], fail: Callable[[Exception], None]) -> None:
        self._items, self._fail = itertools.chain([] if first is None else [first], rest), fail
        self.rows = self.number = 0
        self.fields: set[str] = set()

    def pages(self) -> Iterator[pa.Table]:
        try:
            while texts := [self._text(row) for row in itertools.islice(self._items, _ROWS_AT_ONCE)]:
                start = self.number << PAGE_SHIFT
                self.number += 1
                self.rows += len(texts)
                yield pa.table({PAYLOAD: texts, "_seq": np.arange(start, start + len(texts))})
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises
            self._fail(error)

    def _text(self, row: Any) -> str:
        if isinstance(row, pa.Table):
            raise TypeError(_MIXED)
        self.fields.update(row)
        return to_json(row)
