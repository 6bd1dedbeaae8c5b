"""A database by its SQLAlchemy address: its engine, and what its errors mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL

from millpond import redaction
from millpond.errors import (
    ConfigError,
    SourceError,
    SourceMalformed,
    SourceMissing,
    SourceRefused,
    SourceUnreachable,
)
from millpond.ingestion.source_errors import UNHARMED
from millpond.redaction import excerpt
from millpond.settings import variable

DUCKDB: Final = "duckdb"
_DRIVERS: Final = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_SERVERS: Final = {"postgresql", "mysql", "mariadb"}
_INSTALL: Final = {"pymysql": "pip install 'millpond[mysql]'"}
_CONNECT_SECONDS: Final = 10
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "psycopg": {
        "connect_timeout": _CONNECT_SECONDS,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "client_encoding": "utf8",
        "options": "-c timezone=UTC -c datestyle=ISO -c extra_float_digits=1",
    },
    "pymysql": {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": 600,
        "init_command": "set time_zone = '+00:00'",
    },
}
_MALFORMED: Final = re.compile(
    r"(?i)file is not a database|disk image is malformed|not a valid duckdb|could not decode to utf-8"
)
_REFUSED: Final = re.compile(
    r"(?i)authentication failed|access denied|no password supplied|no pg_hba\.conf entry|is not permitted to"
    r"|permission denied|role \"[^\"]*\" does not exist|database \"[^\"]*\" does not exist|unknown database"
)
_NO_DATABASE: Final = re.compile(r"(?i)database \"[^\"]*\" does not exist|unknown database")
_NO_RIGHT: Final = re.compile(r"(?i)permission denied for|SELECT command denied")
_REFUSED_CODES: Final = {1044, 1045, 1049, 1142, 1143, 1698}
"""Error codes of MySQL: the account, its password, its rights or the database."""


def parse_address(source: str, address: str, user: str | None, token: str | None, project: Path) -> URL:
    """Return `address` with the account and password of the settings; files are below `project`.

    Raises ConfigError for what is no SQLAlchemy address.
    """
    redaction.register(token)
    redaction.register_address(address)
    try:
        url = sa.engine.make_url(address)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigError(
            f"the address of {source} is no SQLAlchemy address",
            next_step=f"set {variable('url', source)} for example to postgresql://db.example.org/shop or"
            f" sqlite:///data/shop.db; account and password go to {variable('user', source)} and"
            f" {variable('token', source)}",
        ) from None
    redaction.register(url.password)
    if url.host and user:
        url = url.set(username=user)
    if url.host and token:
        url = url.set(password=token)
    if not url.host and url.database and url.database != ":memory:":
        url = url.set(database=str(project / url.database))
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def open_engine(url: URL) -> sa.Engine:
    """Return the engine of `url`, whose connections see one snapshot and write nothing.

    Raises ConfigError if its driver is not installed.
    """
    backend = url.get_backend_name()
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if backend in _SERVERS else {}
    if backend == "sqlite" and url.database and url.database != ":memory:":
        _check_file(url.database)
        url = url.set(database=f"file:{quote(url.database)}").update_query_dict({"mode": "ro", "uri": "true"})
    try:
        driver = url.get_driver_name()
        arguments = {k: v for k, v in _OPTIONS.get(driver, {}).items() if k not in url.query}
        return sa.create_engine(url, poolclass=sa.NullPool, connect_args=arguments, **options)
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        name = getattr(error, "name", None) or url.drivername
        raise ConfigError(
            f"the driver of {url.drivername} is not installed: {error}",
            next_step=f"install it, for example with `{_INSTALL.get(name, f'pip install {name}')}`",
        ) from None


def _check_file(file: str) -> None:
    if not Path(file).is_file():
        raise SourceMissing(
            f"there is no file {file}",
            unharmed=UNHARMED,
            next_step="put it there, or correct the address; paths count from the project's folder",
        )


def to_source_error(error: BaseException, source: str) -> SourceError:
    """Return what an error of a driver means: refused for good, not readable, or worth another attempt."""
    if isinstance(error, SourceError):
        return error
    inner = getattr(error, "orig", None) or error
    text = excerpt(str(inner), 300)
    code = inner.args[0] if inner.args else None
    kinds = {kind.__name__ for each in (error, inner) for kind in type(each).__mro__}  # of any driver
    if _MALFORMED.search(text) or kinds & {"DataError", "UnicodeDecodeError"}:
        return SourceMalformed(
            f"the database cannot be read: {text}",
            unharmed=UNHARMED,
            next_step="see whether it is intact and its texts are UTF-8",
        )
    wrong = kinds & {"ProgrammingError", "ArgumentError", "CompileError"}
    if wrong or _REFUSED.search(text) or code in _REFUSED_CODES:
        advice = (
            f"check {variable('user', source)}, {variable('token', source)}, the account's rights"
            f" and the table in sources/{source}.yaml"
        )
        if _NO_DATABASE.search(text):
            advice = f"correct the name of the database in {variable('url', source)}"
        elif _NO_RIGHT.search(text):
            advice = (
                f"grant the account in {variable('user', source)} the right that is missing, for example to"
                " select from the table, or set another account"
            )
        return SourceRefused(f"the database refuses: {text}", unharmed=UNHARMED, next_step=advice)
    return SourceUnreachable(
        f"the database could not be read: {text}",
        unharmed=UNHARMED,
        next_step=f"see whether it is up and {variable('url', source)} right; then repeat the load",
    )
