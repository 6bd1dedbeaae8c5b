"""Trino on the lake: one catalog in Trino for each ref, over the same pointers that PyIceberg moves.

Catalogs are created when they are first needed and dropped with the audit branch they show.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import requests
import trino
from trino.auth import BasicAuthentication
from trino.dbapi import Connection
from trino.exceptions import Error as TrinoError
from trino.exceptions import HttpError, TrinoConnectionError, TrinoQueryError, TrinoUserError

from millpond.errors import ConfigError, ServerUnreachable, StorageFailed
from millpond.lake import nessie
from millpond.lake.connect import borrow_connection
from millpond.lake.files import advise, warehouse_uri
from millpond.lake.pointers import read_pointers
from millpond.naming import LAYERS, MAIN_REF, literal, quoted
from millpond.runtime.databases import databases
from millpond.runtime.servers import trino_address
from millpond.settings import Settings, settings, variable

DATABASE = "lake"
"""The database name of the lake in SQL, for every ref and whatever Trino calls its catalog."""
SOURCE = "millpond"
"""The name under which Trino lists our statements."""
_TRIES = 3
_ANSWER_SECONDS = 60.0
_MISSING_CATALOG = ("CATALOG_NOT_FOUND", "CATALOG_UNAVAILABLE")
_SERVER_ERRORS = frozenset({"INTERNAL_ERROR", "INSUFFICIENT_RESOURCES", "EXTERNAL"})
_ON_LAKE = re.compile(
    rf'(?<![\w."])(?:"{DATABASE}"|{DATABASE})(?=\s*\.\s*"?(?:{"|".join(LAYERS)}|information_schema)\b)',
    re.IGNORECASE,
)
_OF_FILES = ("ICEBERG_", "HIVE_", "PARQUET_", "FILESYSTEM_")
"""Prefixes of Trino's errors about files; its writers are those of its Hive connector."""
_created: set[tuple[int, str, str]] = set()
_guard = threading.Lock()


def catalog_name(ref: str) -> str:
    """Return the name of a ref's catalog in Trino."""
    name = settings().trino_catalog
    return name if ref == MAIN_REF else f"{name}_{ref}"


def set_catalog(sql: str, ref: str) -> str:
    """Return SQL with the catalog of `ref` in place of `lake` in names `lake.layer.table`, quoted or not."""
    return _ON_LAKE.sub(quoted(catalog_name(ref)), sql)


def open_connection(configured: Settings | None = None, **options: Any) -> Connection:
    """Return a connection to Trino, which sends nothing before its first statement."""
    found = configured or settings()
    password = found.trino_password
    opened: Connection = trino.dbapi.connect(  # type: ignore[no-untyped-call]
        host=found.trino_host,
        port=found.trino_port,
        user=found.trino_user,
        http_scheme=found.trino_http_scheme,
        auth=BasicAuthentication(found.trino_user, password.get_secret_value()) if password else None,
        **{
            "source": SOURCE,
            "timezone": "UTC",
            "max_attempts": _TRIES,
            "request_timeout": _ANSWER_SECONDS,
            **options,
        },
    )
    return opened


def connect(ref: str | None = None) -> Connection:
    """Return a connection in which the tables of `ref` (default: the setting) are `<layer>.<table>`.

    Raises RefNotFound, ServerUnreachable.
    """
    name = ref or settings().ref
    with borrow_connection() as conn:
        read_pointers(conn, name, ())
    open_catalog(name)
    return open_connection(catalog=catalog_name(name), schema="raw")


def run_query(
    statement: str, ref: str | None = None, parameters: Sequence[object] = ()
) -> tuple[list[str], list[Sequence[Any]]]:
    """Run one statement on a ref, with `?` for each parameter; returns column names and rows.

    Creates the catalog again if a restarted Trino has forgotten it, or its keys are outdated. Raises
    ServerUnreachable if Trino does not answer or the connection is lost, StorageFailed if S3 fails,
    TrinoQueryError for a statement that Trino refuses.
    """
    name = ref or settings().ref
    sql = set_catalog(statement, name)
    open_catalog(name)
    try:
        return _run_query(sql, name, parameters)
    except (StorageFailed, ServerUnreachable) as error:
        if not isinstance(error.__cause__, TrinoQueryError):
            raise
        drop_catalog(name)
    except TrinoQueryError as error:
        if error.error_name not in _MISSING_CATALOG:
            raise
        forget_catalog(name)
    open_catalog(name)
    return _run_query(sql, name, parameters)


def open_catalog(ref: str) -> None:
    """Create the catalog of `ref` in Trino if it does not exist; once per process."""
    key = (os.getpid(), trino_address(settings()), ref)
    with _guard:
        if key in _created:
            return
        name = quoted(catalog_name(ref))
        _run_statement(f"CREATE CATALOG IF NOT EXISTS {name} USING iceberg WITH ({_build_properties(ref)})")
        _created.add(key)


def drop_catalog(ref: str) -> None:
    """Drop the catalog of a ref in Trino, if it exists; its tables are untouched."""
    forget_catalog(ref)
    with suppress(ServerUnreachable):
        _run_statement(f"DROP CATALOG IF EXISTS {quoted(catalog_name(ref))}")


def drop_catalogs_of_dropped(refs: Sequence[str]) -> None:
    """Drop the catalogs in Trino of refs that are not among `refs` any more."""
    known = {catalog_name(ref) for ref in refs}
    ours = f"{settings().trino_catalog}_"
    pattern = literal(f"{ours.replace('_', '!_')}%")
    with suppress(ServerUnreachable):
        for (name,) in _run_statement(f"SHOW CATALOGS LIKE {pattern} ESCAPE '!'"):
            if name not in known:
                drop_catalog(name.removeprefix(ours))


def forget_catalog(ref: str) -> None:
    """Create the catalog of `ref` again when it is needed next."""
    with _guard:
        _created.discard((os.getpid(), trino_address(settings()), ref))


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn errors of an unreachable Trino, a lost connection or a refused login into ServerUnreachable."""
    try:
        yield
    except (TrinoError, HttpError, requests.RequestException) as error:
        if is_server_error(error):
            raise server_error(error) from error
        raise


def is_server_error(error: BaseException) -> bool:
    """Return whether an error of Trino is about the server and not about the statement."""
    if isinstance(error, TrinoQueryError):
        return error.error_type in _SERVER_ERRORS or error.error_name in _MISSING_CATALOG
    return isinstance(error, TrinoConnectionError | HttpError | requests.RequestException | TrinoError)


def server_error(error: BaseException) -> ServerUnreachable | StorageFailed:
    """Return the error for a Trino that does not answer, or that cannot reach S3 or Postgres."""
    text, name = _get_message(error), getattr(error, "error_name", None) or ""
    who, unharmed = f"Trino at {trino_address(settings())}", "every ref; nothing of this statement is on one"
    if name.startswith(_OF_FILES) and name != "ICEBERG_CATALOG_ERROR":
        return StorageFailed(
            f"{who} could not read or write the files in {warehouse_uri()}: {text} ({name})",
            unharmed=unharmed,
            next_step=advise("the warehouse"),
        )
    is_catalog = name == "ICEBERG_CATALOG_ERROR"
    part = "gets no answer from the catalog in Postgres" if is_catalog else "failed"
    return ServerUnreachable(
        f"{who} {part}: {text} ({name})" if name else f"{who} does not answer: {text}",
        unharmed=unharmed,
        next_step="check that Trino runs (MILLPOND_TRINO_HOST, …_PORT) and reaches Postgres and S3 "
        "(`millpond provision` checks it); then repeat the run",
    )


def _run_query(sql: str, ref: str, parameters: Sequence[object]) -> tuple[list[str], list[Sequence[Any]]]:
    with translate_errors():
        cursor = open_connection(catalog=catalog_name(ref), schema="raw").cursor()
        cursor.execute(sql, list(parameters) or None)
        rows = cursor.fetchall()
        return [column[0] for column in cursor.description or ()], rows


def _run_statement(statement: str) -> list[Sequence[Any]]:
    with translate_errors():
        try:
            cursor = open_connection().cursor()
            cursor.execute(statement)
            rows: list[Sequence[Any]] = cursor.fetchall()
        except TrinoUserError as error:
            raise ConfigError(
                f"Trino at {trino_address(settings())} refuses to create catalogs: {error.message}",
                next_step="enable it (catalog.management=dynamic in its config.properties) and allow it to "
                "the user MILLPOND_TRINO_USER",
            ) from None
        return rows


def _build_properties(ref: str) -> str:
    configured, lake = settings(), databases().catalog
    url = f"jdbc:postgresql://{lake.host}:{lake.port}/{lake.name}?currentSchema={lake.search_path}"
    of_catalog = {
        "iceberg.catalog.type": "jdbc",
        "iceberg.jdbc-catalog.catalog-name": ref,
        "iceberg.jdbc-catalog.driver-class": "org.postgresql.Driver",
        "iceberg.jdbc-catalog.connection-url": f"{url}&sslmode={lake.sslmode}",
        "iceberg.jdbc-catalog.connection-user": lake.role,
        "iceberg.jdbc-catalog.connection-password": _get_secret(configured, "postgres_catalog_password"),
        "iceberg.jdbc-catalog.default-warehouse-dir": warehouse_uri(),
    }
    if nessie.is_used():
        of_catalog = {
            "iceberg.catalog.type": "nessie",
            "iceberg.nessie-catalog.uri": f"{configured.nessie_uri}/api/v2",
            "iceberg.nessie-catalog.ref": nessie.branch_name(ref),
            "iceberg.nessie-catalog.default-warehouse-dir": warehouse_uri(),
            "iceberg.unique-table-location": "true",
        }
    properties = {
        **of_catalog,
        "fs.native-s3.enabled": "true",
        "s3.region": configured.s3_region,
        "s3.endpoint": configured.s3_endpoint,
        "s3.path-style-access": "true" if configured.s3_endpoint else "false",
        "s3.aws-access-key": _get_secret(configured, "s3_access_key"),
        "s3.aws-secret-key": _get_secret(configured, "s3_secret_key"),
    }
    return ", ".join(f"{quoted(name)} = {literal(value)}" for name, value in properties.items() if value)


def _get_secret(configured: Settings, name: str) -> str | None:
    """Return a secret for CREATE CATALOG: its value, or the variable in which Trino finds it."""
    value = getattr(configured, name)
    if value is None:
        return None
    in_trino = configured.trino_secrets == "environment"
    return f"${{ENV:{variable(name)}}}" if in_trino else str(value.get_secret_value())


def _get_message(error: object) -> str:
    return str(getattr(error, "message", None) or error).strip().splitlines()[0]
