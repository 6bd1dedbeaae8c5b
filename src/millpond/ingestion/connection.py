"""DuckDB for what is done with the rows of a load: a database of its own, or one that small loads share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

import duckdb

from millpond.ingestion.reader import FetchResult

MEMORY = "600MB"
"""What judging may hold in memory; beyond that it goes to the staging folder."""
FEW_ROWS: Final = 5_000
_FEW_BYTES: Final = 4 << 20

_PLANNED_LONGER: Final = (
    *("common_subexpressions", "common_subplan", "expression_rewriter", "filter_pushdown", "in_clause"),
    *("reorder_filter", "statistics_propagation"),
)
"""Optimizers of DuckDB that take longer for the expressions of a contract than few rows take without them."""

Config = dict[str, str | bool | int | float | list[str]]


def configure_connection(folder: Path) -> Config:
    """Return the configuration of a connection that spills to `folder`."""
    return {
        "memory_limit": MEMORY,
        "temp_directory": str(folder / "spilled"),
        "preserve_insertion_order": "false",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
    }


def has_few_rows(fetched: FetchResult) -> bool:
    """Return whether planning a statement takes longer than its work on the rows fetched."""
    size = sum(file.stat().st_size for file in fetched.files)
    return fetched.rows <= FEW_ROWS and size + (fetched.held.nbytes if fetched.held else 0) <= _FEW_BYTES


@contextmanager
def open_connection(fetched: FetchResult, folder: Path, *, few: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection for the rows of a load, whose tables are gone at the end; its time zone is UTC.

    Rows in memory keep their order. Loads of `few` rows share a database.
    """
    if few:
        connection = _open_shared(os.getpid(), folder.parent.parent).cursor()
    else:
        config = configure_connection(folder)
        config["preserve_insertion_order"] = fetched.held is not None
        connection = duckdb.connect(":memory:", config=config)
    with connection:
        connection.execute("set TimeZone = 'UTC'")
        yield connection


@lru_cache(1)
def _open_shared(pid: int, root: Path) -> duckdb.DuckDBPyConnection:  # noqa: ARG001 - a forked process needs its own
    """Return this process's DuckDB for small loads: opening one takes longer than their statements."""
    few: Config = {
        "threads": "1",
        "disabled_optimizers": ",".join(_PLANNED_LONGER),
        "preserve_insertion_order": "true",
    }
    return duckdb.connect(":memory:", config=configure_connection(root) | few)
