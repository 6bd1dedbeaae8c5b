"""DuckDB with extensions from pip wheels; nothing is downloaded."""

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
Config = dict[str, str | bool | int | float | list[str]]


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """Return a new in-memory DuckDB with the extensions loaded and time zone UTC."""
    connection = duckdb.connect(":memory:", config=build_duckdb_config())
    for extension in EXTENSIONS:
        connection.load_extension(extension)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def build_duckdb_config() -> Config:
    """Return the configuration of DuckDB connections.

    Extensions are loaded unsigned: DuckDB would verify the signatures of 85 MB for each connection, which
    takes 0.4 of 0.42 s. They are verified once instead, when a home first uses them.
    """
    home = layout(settings())
    _install(home)
    return {**_settings(home), "allow_unsigned_extensions": True}


def _settings(home: Home) -> Config:
    return {
        "extension_directory": str(home.extensions),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "secret_directory": str(home.root / "duckdb_secrets"),
        "temp_directory": str(home.staging / "duckdb"),
        "enable_external_file_cache": False,  # it would only copy what is read once or twice
    }


def _install(home: Home) -> None:
    files = {name: _find_wheel_file(name) for name in _INSTALLED}
    seen = "".join(
        f"{file} {s.st_ino} {s.st_size} {s.st_mtime_ns}\n" for file in files.values() for s in [file.stat()]
    )
    marker = home.extensions / "verified"
    if marker.exists() and marker.read_text() == seen:
        return
    folder = home.extensions / f"v{duckdb.__version__}" / _find_platform()
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        link, unfinished = folder / f"{name}.duckdb_extension", folder / f".{name}.{os.getpid()}"
        unfinished.symlink_to(file)
        unfinished.replace(link)
    _load_signed(home)
    marker.write_text(seen)


def _load_signed(home: Home) -> None:
    with duckdb.connect(":memory:", config=_settings(home)) as connection:
        for name in _INSTALLED:
            connection.load_extension(name)


@lru_cache(8)
def _find_wheel_file(extension: str) -> Path:
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
def _find_platform() -> str:
    with duckdb.connect(":memory:") as connection:
        row = connection.execute("PRAGMA platform").fetchone()
    assert row is not None
    return str(row[0])
