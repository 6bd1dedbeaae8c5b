"""What a database refuses or breaks off fails the days, keeps what was loaded, and quotes no password."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from database_tables import DAY, load_shop, orders, spec_of, the_error
from millpond.errors import BreakerOpen, SourceMalformed, SourceRefused, SourceUnreachable
from millpond.ingestion.sql import postgres as reading
from millpond.runtime.databases import databases
from millpond.settings import Settings
from millpond.settings import settings as current

PASSWORD = "p@ss:w/ord #?&%25+\\'\"`$(x){y}[z]<|>;,*~^= äß🐟"
SPEC = spec_of({"at": "timestamp"}, event_time={"column": "at"})


def fill(postgres: psycopg.Connection[Any], rows: int) -> None:
    postgres.execute("create table orders (id int, at timestamptz not null)")
    postgres.execute(f"insert into orders select n, '2026-11-02 12:00+00' from generate_series(1, {rows}) n")


def test_a_connection_that_breaks_in_the_middle_fails_the_days_and_keeps_what_was_loaded(
    postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres, 3)
    assert not load_shop(SPEC).failed
    postgres.execute("insert into orders select n, '2026-11-02' from generate_series(4, 400000) n")
    parse = reading._parse

    def kill(*arguments: Any) -> Any:
        postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'reader'")
        return parse(*arguments)

    monkeypatch.setattr(reading, "_parse", kill)
    error = the_error(load_shop(SPEC.model_copy(update={"tables": (_chunks(1000),)})))
    assert isinstance(error, SourceUnreachable)
    assert orders("id") == [1, 2, 3]
    monkeypatch.undo()
    assert load_shop(SPEC).partitions[0].rows_loaded == 400_000


def test_a_load_reads_one_state_of_the_database(
    postgres: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(postgres, 5000)
    parse, written = reading._parse, threading.Event()

    def write(*arguments: Any) -> Any:
        if not written.is_set():
            written.set()
            postgres.execute("delete from orders where id > 4000")
            postgres.execute("insert into orders values (9999, '2026-11-02 13:00+00')")
        return parse(*arguments)

    monkeypatch.setattr(reading, "_parse", write)
    assert not load_shop(SPEC.model_copy(update={"tables": (_chunks(100),)})).failed
    assert orders("id") == list(range(1, 5001))


def _chunks(rows: int) -> Any:
    table = SPEC.tables[0]
    return spec_of(
        {"at": "timestamp"}, event_time={"column": "at"}, sql={"table": table.name, "chunk_rows": rows}
    ).tables[0]


@pytest.mark.parametrize("way", ["token", "url"])
def test_a_password_may_be_anything_and_is_in_no_text(
    postgres: psycopg.Connection[Any],
    configure: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
) -> None:
    fill(postgres, 1)
    password = PASSWORD if way == "url" else PASSWORD.removesuffix("🐟")  # settings take Latin-1
    postgres.execute(sql.SQL("alter role reader password {}").format(sql.Literal(password)))
    caplog.set_level(logging.DEBUG)
    url = str(current().source("shop").url)
    if way == "token":
        configure(shop_token=password)
    else:
        monkeypatch.delenv("MILLPOND_SHOP_TOKEN")
        monkeypatch.delenv("MILLPOND_SHOP_USER")
        configure(shop_url=url.replace("://", f"://reader:{quote(password, safe='')}@"))
    assert not load_shop(SPEC).failed
    assert orders("id") == [1]
    postgres.execute("alter role reader password 'another-one'")
    error = the_error(load_shop(SPEC))
    assert isinstance(error, SourceRefused)
    assert "MILLPOND_SHOP_TOKEN" in str(error)
    with databases().ops.connect() as connection:
        origins = str(connection.execute("select * from source_origins").fetchall())
        breakers = str(connection.execute("select * from breakers").fetchall())
    texts = f"{error!r} {error} {origins} {breakers} {caplog.text}"
    for spelling in (password, password[:12], quote(password, safe=""), "p@ss", "p%40ss"):
        assert spelling not in texts
    assert "/shop as reader" in origins


def test_a_server_that_is_down_opens_the_breaker(
    postgres: psycopg.Connection[Any], configure: Callable[..., Settings]
) -> None:
    configure(shop_url="postgresql://127.0.0.1:9/shop", breaker_failures=2)
    for expected in (SourceUnreachable, SourceUnreachable, BreakerOpen):
        assert isinstance(the_error(load_shop(SPEC)), expected)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"sql": {"table": "order"}}, "there is orders"),
        ({"sql": {"table": "Orders"}}, "there is orders"),
        ({"sql": {"table": "nowhere.orders"}}, "it has none"),
    ],
)
def test_a_table_that_is_not_there_is_refused_naming_those_alike(
    postgres: psycopg.Connection[Any], table: dict[str, Any], words: str
) -> None:
    fill(postgres, 1)
    error = the_error(load_shop(spec_of({"at": "timestamp"}, event_time={"column": "at"}, **table)))
    assert isinstance(error, SourceRefused)
    assert words in str(error)


def test_a_table_without_rights_and_a_time_column_that_is_not_there_are_refused(
    postgres: psycopg.Connection[Any],
) -> None:
    fill(postgres, 1)
    wrong = spec_of({"att": "timestamp"}, event_time={"column": "att"})
    error = the_error(load_shop(wrong))
    assert isinstance(error, SourceRefused)
    assert "did you mean at?" in str(error)
    postgres.execute("revoke all on orders from reader")
    error = the_error(load_shop(SPEC))
    assert isinstance(error, SourceRefused)
    assert "permission denied" in str(error)


NAMES = [
    'a"b',
    "Upper Case",
    "select",
    "dotted.name",
    "fish 🐟",
    "100%",
    "semi;colon",
    "ümlaut",
    "a:b",
    "{x}",
]


def test_any_identifier_may_be_read(postgres: psycopg.Connection[Any]) -> None:
    schema, table = sql.Identifier('my."schema'), sql.Identifier("Order.s %")
    postgres.execute(sql.SQL("create schema {}").format(schema))
    postgres.execute(sql.SQL("grant usage on schema {} to reader").format(schema))
    kinds = sql.SQL(", ").join(sql.SQL("{} int").format(sql.Identifier(name)) for name in NAMES)
    postgres.execute(sql.SQL("create table {}.{} (id int, {})").format(schema, table, kinds))
    values = ", ".join(map(str, range(len(NAMES) + 1)))
    postgres.execute(sql.SQL("insert into {}.{} values ({})").format(schema, table, sql.SQL(values)))
    columns = {f"n{n}": {"type": "int", "field": name} for n, name in enumerate(NAMES)}
    for ignored in ("add", "ignore"):
        source = spec_of(columns, sql={"table": '"my.""schema"."Order.s %"'}, unknown_columns=ignored)
        result = load_shop(source)
        assert not result.failed, result.failed
        (row,) = orders()
        assert [row[f"n{n}"] for n in range(len(NAMES))] == list(range(1, len(NAMES) + 1))


def test_a_view_is_read_and_an_empty_table_is_an_empty_day(postgres: psycopg.Connection[Any]) -> None:
    fill(postgres, 2)
    postgres.execute("create view seen as select id + 1 as id, at from orders")
    view = spec_of({"at": "timestamp"}, event_time={"column": "at"}, sql={"table": "public.seen"})
    assert not load_shop(view).failed
    assert orders("id", "_partition_date") == [
        {"id": 2, "_partition_date": DAY},
        {"id": 3, "_partition_date": DAY},
    ]
    postgres.execute("create table empty (id int, at timestamptz)")
    result = load_shop(
        spec_of({"at": "timestamp"}, event_time={"column": "at"}, sql={"table": "empty"}, name="others")
    )
    assert [found.rows_loaded for found in result.partitions] == [0]


def test_text_that_is_no_utf_8_is_malformed_not_unreachable() -> None:
    from millpond.ingestion.sql.database import to_source_error

    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    assert isinstance(to_source_error(error, "shop"), SourceMalformed)
