"""DuckDB with its extensions from pip wheels: nothing is fetched from the network."""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache
from pathlib import Path

import duckdb

from millpond.errors import EmbeddedPartError
from millpond.runtime.home import Home, layout
from millpond.settings import settings

EXTENSIONS = ("avro", "httpfs", "iceberg")
"""Loaded into every connection, in this order."""
_INSTALLED = (*EXTENSIONS, "postgres_scanner")


def duckdb_connection() -> duckdb.DuckDBPyConnection:
    """Return a new in-memory DuckDB with the extensions loaded, time zone UTC, and no way to fetch others."""
    connection = duckdb.connect(":memory:", config=duckdb_config())
    for extension in EXTENSIONS:
        connection.load_extension(extension)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def duckdb_config() -> dict[str, str | bool | int | float | list[str]]:
    """Return the configuration a DuckDB connection of this installation is opened with."""
    home = layout(settings())
    return {
        "extension_directory": str(_extension_folder(home)),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "secret_directory": str(home.root / "duckdb_secrets"),
        "temp_directory": str(home.staging / "duckdb"),
    }


def _extension_folder(home: Home) -> Path:
    folder = home.extensions / f"v{duckdb.__version__}" / _platform()
    folder.mkdir(parents=True, exist_ok=True)
    for extension in _INSTALLED:
        link, target = folder / f"{extension}.duckdb_extension", _wheel_file(extension)
        if not (link.is_symlink() and link.readlink() == target):
            unfinished = folder / f".{extension}.{os.getpid()}"
            unfinished.unlink(missing_ok=True)
            unfinished.symlink_to(target)
            unfinished.replace(link)
    return home.extensions


@lru_cache(8)
def _wheel_file(extension: str) -> Path:
    package = f"duckdb_extension_{extension}"
    spec = importlib.util.find_spec(package)
    folder = Path(spec.origin or "").parent if spec else Path()
    file = folder / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension"
    if not file.exists():
        raise EmbeddedPartError(
            f"DuckDB {duckdb.__version__} has no extension {extension}",
            next_step=f"install the package {package.replace('_', '-')}=={duckdb.__version__}",
        )
    return file


@lru_cache(1)
def _platform() -> str:
    with duckdb.connect(":memory:") as connection:
        row = connection.execute("PRAGMA platform").fetchone()
    assert row is not None
    return str(row[0])
