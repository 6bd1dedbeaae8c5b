"""Trino on the lake: one catalog of Trino's for each ref, over the very pointers that PyIceberg moves.

Catalogs are made when they are first needed and dropped with the audit branch they show.
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
from millpond.lake.connect import pooled
from millpond.lake.files import advice, warehouse_uri
from millpond.lake.pointers import pointers
from millpond.naming import LAYERS, MAIN_REF, literal, quoted
from millpond.runtime.databases import databases
from millpond.runtime.servers import trino_address
from millpond.settings import Settings, settings, variable

DATABASE = "lake"
"""What SQL calls the lake, whatever ref is meant and whatever Trino calls its catalog."""
SOURCE = "millpond"
"""Under which name Trino lists our statements."""
_TRIES = 3
_ANSWER_SECONDS = 60.0
_GONE = ("CATALOG_NOT_FOUND", "CATALOG_UNAVAILABLE")
_PASSING = frozenset({"INTERNAL_ERROR", "INSUFFICIENT_RESOURCES", "EXTERNAL"})
_ON_LAKE = re.compile(
    rf'(?<![\w."])(?:"{DATABASE}"|{DATABASE})(?=\s*\.\s*"?(?:{"|".join(LAYERS)}|information_schema)\b)',
    re.IGNORECASE,
)
_OF_FILES = ("ICEBERG_", "HIVE_", "PARQUET_", "FILESYSTEM_")
"""How the names of Trino's errors begin that are about files; its writers are those of its Hive connector."""
_made: set[tuple[int, str, str]] = set()
_guard = threading.Lock()


def catalog_name(ref: str) -> str:
    """Return what Trino calls the catalog of a ref."""
    name = settings().trino_catalog
    return name if ref == MAIN_REF else f"{name}_{ref}"


def on_ref(sql: str, ref: str) -> str:
    """Return SQL with the catalog of `ref` wherever it names a table `lake.layer.table`, quoted or not."""
    return _ON_LAKE.sub(quoted(catalog_name(ref)), sql)


def connection(configured: Settings | None = None, **options: Any) -> Connection:
    """Return a connection to Trino, which asks nothing before its first statement."""
    found = configured or settings()
    password = found.trino_password
    made: Connection = trino.dbapi.connect(  # type: ignore[no-untyped-call]
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
    return made


def connect(ref: str | None = None) -> Connection:
    """Return a connection in which the tables of `ref` (default: the setting) go by `<layer>.<table>`.

    Raises RefNotFound, ServerUnreachable.
    """
    name = ref or settings().ref
    with pooled() as conn:
        pointers(conn, name, ())
    open_catalog(name)
    return connection(catalog=catalog_name(name), schema="raw")


def query(
    statement: str, ref: str | None = None, parameters: Sequence[object] = ()
) -> tuple[list[str], list[Sequence[Any]]]:
    """Run one statement on a ref, `?` standing for each parameter; returns names of columns, and rows.

    A catalog that a restarted Trino has forgotten, or that has keys of the past, is made anew. Raises
    ServerUnreachable where Trino does not answer or breaks off, StorageFailed where S3 fails it,
    TrinoQueryError for what it refuses.
    """
    name = ref or settings().ref
    sql = on_ref(statement, name)
    open_catalog(name)
    try:
        return _query(sql, name, parameters)
    except (StorageFailed, ServerUnreachable) as error:
        if not isinstance(error.__cause__, TrinoQueryError):
            raise
        drop_catalog(name)
    except TrinoQueryError as error:
        if error.error_name not in _GONE:
            raise
        forget(name)
    open_catalog(name)
    return _query(sql, name, parameters)


def open_catalog(ref: str) -> None:
    """See to it that Trino has a catalog of `ref`; asked of it once per process."""
    key = (os.getpid(), trino_address(settings()), ref)
    with _guard:
        if key in _made:
            return
        name = quoted(catalog_name(ref))
        _run(f"CREATE CATALOG IF NOT EXISTS {name} USING iceberg WITH ({_properties(ref)})")
        _made.add(key)


def drop_catalog(ref: str) -> None:
    """Have Trino forget the catalog of a ref, if it knows it; its tables are untouched."""
    forget(ref)
    with suppress(ServerUnreachable):
        _run(f"DROP CATALOG IF EXISTS {quoted(catalog_name(ref))}")


def drop_catalogs_of_dropped(refs: Sequence[str]) -> None:
    """Have Trino forget the catalogs of refs that are not among `refs` any more."""
    known = {catalog_name(ref) for ref in refs}
    ours = f"{settings().trino_catalog}_"
    pattern = literal(f"{ours.replace('_', '!_')}%")
    with suppress(ServerUnreachable):
        for (name,) in _run(f"SHOW CATALOGS LIKE {pattern} ESCAPE '!'"):
            if name not in known:
                drop_catalog(name.removeprefix(ours))


def forget(ref: str) -> None:
    """Ask Trino for the catalog of `ref` again when it is needed next."""
    with _guard:
        _made.discard((os.getpid(), trino_address(settings()), ref))


@contextmanager
def speaking() -> Iterator[None]:
    """Turn what says that Trino cannot be reached, broke off or lets us not in into ServerUnreachable."""
    try:
        yield
    except (TrinoError, HttpError, requests.RequestException) as error:
        if is_passing(error):
            raise broken_off(error) from error
        raise


def is_passing(error: BaseException) -> bool:
    """Return whether an error of Trino's is about the server and not about the statement."""
    if isinstance(error, TrinoQueryError):
        return error.error_type in _PASSING or error.error_name in _GONE
    return isinstance(error, TrinoConnectionError | HttpError | requests.RequestException | TrinoError)


def broken_off(error: BaseException) -> ServerUnreachable | StorageFailed:
    """Return the error for a Trino that does not answer or broke off, or to which S3 or Postgres did that."""
    text, name = _words_of(error), getattr(error, "error_name", None) or ""
    who, unharmed = f"Trino at {trino_address(settings())}", "every ref; what was under way is on no ref"
    if name.startswith(_OF_FILES) and name != "ICEBERG_CATALOG_ERROR":
        return StorageFailed(
            f"{who} could not read or write the files in {warehouse_uri()}: {text} ({name})",
            unharmed=unharmed,
            next_step=advice("the warehouse"),
        )
    part = "gets no answer of the catalog in Postgres" if name == "ICEBERG_CATALOG_ERROR" else "broke off"
    return ServerUnreachable(
        f"{who} {part}: {text} ({name})" if name else f"{who} does not answer: {text}",
        unharmed=unharmed,
        next_step="see that Trino runs (MILLPOND_TRINO_HOST, …_PORT) and reaches Postgres and S3 "
        "(`millpond provision` tries it); then repeat the run",
    )


def _query(sql: str, ref: str, parameters: Sequence[object]) -> tuple[list[str], list[Sequence[Any]]]:
    with speaking():
        cursor = connection(catalog=catalog_name(ref), schema="raw").cursor()
        cursor.execute(sql, list(parameters) or None)
        rows = cursor.fetchall()
        return [column[0] for column in cursor.description or ()], rows


def _run(statement: str) -> list[Sequence[Any]]:
    with speaking():
        try:
            cursor = connection().cursor()
            cursor.execute(statement)
            rows: list[Sequence[Any]] = cursor.fetchall()
        except TrinoUserError as error:
            raise ConfigError(
                f"Trino at {trino_address(settings())} refuses catalogs: {error.message}",
                next_step="let it make catalogs (catalog.management=dynamic in its config.properties) and "
                "allow it to the user MILLPOND_TRINO_USER",
            ) from None
        return rows


def _properties(ref: str) -> str:
    configured, lake = settings(), databases().catalog
    url = f"jdbc:postgresql://{lake.host}:{lake.port}/{lake.name}?currentSchema={lake.search_path}"
    of_catalog = {
        "iceberg.catalog.type": "jdbc",
        "iceberg.jdbc-catalog.catalog-name": ref,
        "iceberg.jdbc-catalog.driver-class": "org.postgresql.Driver",
        "iceberg.jdbc-catalog.connection-url": f"{url}&sslmode={lake.sslmode}",
        "iceberg.jdbc-catalog.connection-user": lake.role,
        "iceberg.jdbc-catalog.connection-password": _secret(configured, "postgres_catalog_password"),
        "iceberg.jdbc-catalog.default-warehouse-dir": warehouse_uri(),
    }
    if nessie.is_used():
        of_catalog = {
            "iceberg.catalog.type": "nessie",
            "iceberg.nessie-catalog.uri": f"{configured.nessie_uri}/api/v2",
            "iceberg.nessie-catalog.ref": nessie.branch_of(ref),
            "iceberg.nessie-catalog.default-warehouse-dir": warehouse_uri(),
            "iceberg.unique-table-location": "true",
        }
    told = {
        **of_catalog,
        "fs.native-s3.enabled": "true",
        "s3.region": configured.s3_region,
        "s3.endpoint": configured.s3_endpoint,
        "s3.path-style-access": "true" if configured.s3_endpoint else "false",
        "s3.aws-access-key": _secret(configured, "s3_access_key"),
        "s3.aws-secret-key": _secret(configured, "s3_secret_key"),
    }
    return ", ".join(f"{quoted(name)} = {literal(value)}" for name, value in told.items() if value)


def _secret(configured: Settings, name: str) -> str | None:
    """Return a secret as CREATE CATALOG is told it: itself, or the variable in which Trino finds it."""
    value = getattr(configured, name)
    if value is None:
        return None
    in_trino = configured.trino_secrets == "environment"
    return f"${{ENV:{variable(name)}}}" if in_trino else str(value.get_secret_value())


def _words_of(error: object) -> str:
    return str(getattr(error, "message", None) or error).strip().splitlines()[0]
