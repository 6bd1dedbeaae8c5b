"""Whatever a library puts into its errors, no secret is in Dagster's record, the home, or what is printed."""

import json
import logging
from collections.abc import Callable
from typing import Any

import boto3
import dagster as dg
import dlt
import duckdb
import psycopg
import pytest
import requests
import sqlalchemy
import urllib3
from dbt_common.exceptions import DbtRuntimeError

from millpond.instance.home import open_instance
from millpond.lake.catalog import load_catalog
from millpond.runtime.databases import connect_superuser
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from millpond.settings import Settings

CANARY = "c4n4ry/of the+récord"
PIECES = ("c4n4ry", "récord", "r\\xe9cord", "r\\u00e9cord", "r%C3%A9cord")
_NOWHERE = "http://127.0.0.1:9"


def _dlt() -> None:
    @dlt.resource
    def rows() -> Any:
        raise ValueError(CANARY)
        yield

    list(rows())


def _chained() -> None:
    try:
        requests.get(_NOWHERE, params={"x": CANARY}, timeout=1)
    except requests.RequestException as error:
        raise RuntimeError(f"Basic {CANARY}") from error


def _dbt() -> None:
    raise DbtRuntimeError(f"could not connect with {CANARY!r}")


def _dagster() -> None:
    raise dg.Failure(
        f"failed with {CANARY}", metadata={"seen": CANARY, "more": dg.MetadataValue.json([CANARY])}
    )


def _boto() -> None:
    client = boto3.client("sqs", "us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    client.send_message(QueueUrl=_NOWHERE, MessageBody=CANARY, DelaySeconds=CANARY)


TROUBLES: dict[str, Callable[[], object]] = {
    "requests": lambda: requests.get(_NOWHERE, headers={"api-secret": f"{CANARY}\n"}, timeout=1),
    "urllib3": lambda: urllib3.PoolManager(retries=False).request("GET", f"{_NOWHERE}/{CANARY}?x={CANARY}"),
    "chained": _chained,
    "dlt": _dlt,
    "duckdb": lambda: duckdb.sql(f"select '{CANARY}'::int").fetchall(),
    "psycopg": lambda: psycopg.connect(f"host={CANARY}"),
    "sqlalchemy": lambda: (
        sqlalchemy.create_engine("sqlite://")
        .connect()
        .execute(sqlalchemy.text("select * from t where a = :a"), {"a": CANARY})
    ),
    "pyiceberg": lambda: load_catalog("main").load_table(f"raw.{CANARY}"),
    "boto": _boto,
    "dbt": _dbt,
    "dagster": _dagster,
}


def _asset(name: str, trouble: Callable[[], object]) -> dg.AssetsDefinition:
    @dg.asset(name=name)
    def failing(context: dg.AssetExecutionContext) -> None:
        logging.getLogger("somebody.else").warning("about to use %s", CANARY)
        context.log.info(f"using {CANARY}")
        trouble()

    return failing


def test_no_secret_of_any_library_stays_anywhere(
    home: Home,
    configure: Callable[..., Settings],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    configure(greenhouse_token=CANARY)
    with open_instance() as recorded:
        result = dg.materialize(
            [_asset(name, trouble) for name, trouble in TROUBLES.items()],
            instance=recorded,
            raise_on_error=False,
            tags={"note": CANARY},
        )
        failed = {event.step_key for event in result.all_events if event.is_step_failure}
        assert failed == TROUBLES.keys()
        texts = {"pages": json.dumps([dg.serialize_value(e) for e in recorded.all_logs(result.run_id)])}
        texts["run"] = dg.serialize_value(recorded.get_run_by_id(result.run_id))
    server = find_server(home)
    assert server is not None
    for database in ("dagster", "lake"):
        with connect_superuser(home, server, database) as connection:
            tables = connection.execute(
                "select schemaname, tablename from pg_tables where tableowner like 'millpond%'"
            ).fetchall()
            for table in tables:
                rows = connection.execute(
                    psycopg.sql.SQL("select t::text from {} t").format(psycopg.sql.Identifier(*table))
                )
                texts[f"{database} {table}"] = "\n".join(row for (row,) in rows)
    texts["stdout"], texts["stderr"] = capfd.readouterr()
    texts["log"] = caplog.text
    for file in home.root.rglob("*"):
        if file.is_file() and "postgres" not in file.parts:
            texts[str(file)] = file.read_bytes().decode(errors="replace")
    assert {name: piece for name, text in texts.items() for piece in PIECES if piece in text} == {}
