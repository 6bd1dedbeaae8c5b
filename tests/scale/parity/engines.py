"""The two engines as the parity tests see them: SQL rendered by dbt for each, results that compare."""

from __future__ import annotations

import datetime as dt
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import trino.dbapi
from dbt.contracts.graph.manifest import Manifest
from pyiceberg.catalog.sql import SqlCatalog
from servers import postgres, s3
from servers.stack import Stack

from millpond.settings import settings
from millpond.transform.invocation import OFFLINE, invoke

TARGETS = {"duckdb": "embedded", "trino": "scale"}
_DATABASE = "parity"


@dataclass(frozen=True)
class Result:
    """What a query returned: the type of each column, in words both engines share, and the rows."""

    types: dict[str, str]
    rows: list[tuple[Any, ...]]


class Lake:
    """Tables in S3 under a catalog in Postgres that both PyIceberg and Trino read and write."""

    def __init__(self, servers: Stack) -> None:
        self._servers = servers
        with postgres.connect(servers.postgres) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {_DATABASE}")
        address = f"127.0.0.1:{servers.postgres.port}/{_DATABASE}"
        self.catalog = SqlCatalog(
            "lake",
            uri=f"postgresql+psycopg://{postgres.USER}:{postgres.PASSWORD}@{address}",
            warehouse=f"s3://{s3.BUCKET}/{_DATABASE}",
            **{
                "s3.endpoint": servers.s3_endpoint,
                "s3.access-key-id": s3.ACCESS_KEY,
                "s3.secret-access-key": s3.SECRET_KEY,
                "s3.region": s3.REGION,
                "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            },
        )
        self._connection = trino.dbapi.connect(
            host="127.0.0.1", port=servers.trino.port, user="parity", timezone="UTC"
        )
        options = {
            "iceberg.catalog.type": "jdbc",
            "iceberg.jdbc-catalog.driver-class": "org.postgresql.Driver",
            "iceberg.jdbc-catalog.connection-url": f"jdbc:postgresql://{address}",
            "iceberg.jdbc-catalog.connection-user": postgres.USER,
            "iceberg.jdbc-catalog.connection-password": postgres.PASSWORD,
            "iceberg.jdbc-catalog.catalog-name": "lake",
            "iceberg.jdbc-catalog.default-warehouse-dir": f"s3://{s3.BUCKET}/{_DATABASE}",
            "iceberg.unique-table-location": "true",
            "fs.native-s3.enabled": "true",
            "s3.endpoint": servers.s3_endpoint,
            "s3.region": s3.REGION,
            "s3.path-style-access": "true",
            "s3.aws-access-key": s3.ACCESS_KEY,
            "s3.aws-secret-key": s3.SECRET_KEY,
        }
        stated = ", ".join(f"\"{name}\" = '{value}'" for name, value in options.items())
        self.statement("DROP CATALOG IF EXISTS parity")
        self.statement(f"CREATE CATALOG parity USING iceberg WITH ({stated})")

    def close(self) -> None:
        """Forget the catalog, in Trino and here."""
        self.statement("DROP CATALOG IF EXISTS parity")
        self._connection.close()
        self.catalog.engine.dispose()

    def put(self, name: str, rows: pa.Table) -> None:
        """Make table `name` hold exactly `rows`."""
        self.catalog.create_namespace_if_not_exists(name.split(".")[0])
        table = self.catalog.create_table_if_not_exists(name, rows.schema)
        (table.overwrite if table.current_snapshot() else table.append)(rows)

    def rows(self, name: str) -> pa.Table:
        """Return a table as it is now."""
        return self.catalog.load_table(name).scan().to_arrow()

    def statement(self, sql: str) -> None:
        """Run a statement on Trino."""
        self._connection.cursor().execute(sql).fetchall()

    def query(self, sql: str) -> Result:
        """Run a query on Trino."""
        cursor = self._connection.cursor()
        rows = cursor.execute(sql).fetchall()
        types = {column[0]: _word(column[1]) for column in cursor.description}
        return Result(types, [tuple(map(_plain, row)) for row in rows])


def on_duckdb(sql: str, table: str, rows: pa.Table) -> Result:
    """Run a query on DuckDB, whose catalog holds nothing but `table`."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; ATTACH ':memory:' AS parity")
        connection.execute(f"CREATE SCHEMA parity.{table.split('.')[0]}")
        connection.register("given", rows)
        connection.execute(f"CREATE TABLE parity.{table} AS FROM given")
        found = connection.execute(sql)
        types = {column[0]: _word(str(column[1])) for column in found.description}
        columns = [column.to_pylist() for column in found.to_arrow_table().columns]
        return Result(types, [tuple(map(_plain, row)) for row in zip(*columns, strict=True)])


def rendered(engine: str, template: str, manifest: Manifest, **variables: object) -> str:
    """Return SQL as dbt renders it for `engine`, the project's macros at hand."""
    result = dbt(engine, ["compile", "--inline", template, *OFFLINE], manifest, **variables)
    return str(result.results[0].node.compiled_code)


def parsed(engine: str) -> Manifest:
    """Return the dbt project as it is for `engine`."""
    found: Manifest = dbt(engine, ["parse"], None)
    return found


def dbt(engine: str, command: Sequence[str], manifest: Manifest | None, **variables: object) -> Any:
    """Run a command of dbt for `engine`; returns its result."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid escape sequence")  # in a macro of dbt-trino
        ran = invoke(
            command,
            settings=settings(),
            target=TARGETS[engine],
            manifest=manifest,
            variables=variables,
        )
    assert ran.result, ran.exception
    return ran.result


def _word(kind: str) -> str:
    kind = re.sub(r"(var)?char\(\d+\)", "varchar", kind.lower())
    if kind in ("timestamp", "timestamp with time zone"):
        kind = kind.replace("timestamp", "timestamp(6)")
    return kind.replace(" ", "")


def _plain(value: Any) -> Any:
    """Return a value so that equal ones of both engines compare as equal, and no others."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    if isinstance(value, dt.datetime) and value.tzinfo:
        return value.astimezone(dt.UTC)
    return value
