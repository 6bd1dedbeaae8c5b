"""DuckDB on the lake: reads and changes a ref, or reads one pinned moment of all its tables."""

from __future__ import annotations

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from lake_readings import found, spec, write
from millpond.errors import RefNotFound
from millpond.lake import duck, read, refs
from millpond.lake.connect import pooled
from millpond.settings import process_environment

pytestmark = pytest.mark.usefixtures("home")


def _pins() -> int:
    with pooled() as conn:
        row = conn.execute("select count(*) from lake_pins").fetchone()
    assert row is not None
    return int(row[0])


def test_tables_go_by_layer_and_name() -> None:
    write({0: [1], 1: [2]})
    with duck.connect() as connection:
        assert connection.execute("select sum(value) from raw.readings").fetchall() == [(3,)]
        assert connection.execute("select sum(value) from lake.raw.readings").fetchall() == [(3,)]


def test_a_pinned_connection_does_not_move_and_does_not_write() -> None:
    write({0: [1]})
    with duck.connect() as connection:
        write({0: [2]})
        assert connection.execute("select value from raw.readings").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error, match="pinned view and cannot be written"):
            connection.execute("insert into raw.readings select * from raw.readings")
    assert found() == {0: [2]}


def test_a_pin_is_given_back_with_its_connection() -> None:
    connection = duck.connect()
    assert _pins() == 1
    connection.close()
    del connection
    gc.collect()
    assert _pins() == 0


def test_an_unpinned_connection_sees_and_makes_changes_on_its_ref() -> None:
    write({0: [1]})
    refs.create("dev")
    with duck.connect("dev", pin=False) as connection:
        write({0: [2]}, ref="dev")
        assert connection.execute("select value from raw.readings").fetchall() == [(2,)]
        connection.execute("create table gold.doubled as select value * 2 as value from raw.readings")
        connection.execute("insert into gold.doubled values (7)")
        connection.execute("update gold.doubled set value = 8 where value = 7")
        connection.execute("delete from gold.doubled where value = 4")
        connection.execute("alter table gold.doubled add column note varchar")
    assert read.scan("dev", "gold.doubled").to_pylist() == [{"value": 8, "note": None}]
    assert read.table_names("main") == ["raw.readings"]
    refs.merge("dev")
    assert read.scan("main", "gold.doubled").to_pylist() == [{"value": 8, "note": None}]


def test_a_transaction_over_two_tables_is_seen_whole() -> None:
    for name in ("raw.readings", "raw.others"):
        write({0: [1]}, table=spec(name))
    with duck.connect(pin=False) as connection:
        connection.execute("begin")
        for name in ("readings", "others"):
            connection.execute(f"update raw.{name} set value = 2, reading_id = '0-2'")
        assert found() == found("raw.others") == {0: [1]}
        connection.execute("commit")
    assert found() == found("raw.others") == {0: [2]}


def test_an_unknown_ref_is_refused() -> None:
    for pin in (True, False):
        with pytest.raises(RefNotFound, match="'gone'"):
            duck.connect("gone", pin=pin)


def test_a_dropped_ref_is_an_error_not_an_empty_lake() -> None:
    write({0: [1]})
    refs.create("dev")
    with duck.connect("dev", pin=False) as connection:
        refs.drop("dev")
        for table in ("raw.readings", "lake.raw.readings"):
            with pytest.raises(duckdb.Error, match=r'Table with name .*raw\.readings" does not exist'):
                connection.execute(f"select * from {table}")


def test_cursors_of_one_connection_read_in_parallel() -> None:
    write({n: [n] for n in range(5)})
    with duck.connect(pin=False) as connection, ThreadPoolExecutor(8) as pool:
        cursors = [connection.cursor() for _ in range(24)]
        query = "select sum(value) from lake.raw.readings"
        totals = list(pool.map(lambda cursor: cursor.execute(query).fetchall(), cursors))
    assert totals == [[(10,)]] * 24


def test_a_process_that_used_it_ends_quietly_and_gives_its_pin_back() -> None:
    write({0: [1]})
    code = (
        "from millpond.lake import duck\n"
        "connection = duck.connect()\n"
        "print(connection.execute('select value from raw.readings').fetchall())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("[(1,)]\n", "")
    assert _pins() == 0
