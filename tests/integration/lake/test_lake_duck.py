"""DuckDB on the lake: reads and changes a ref, or reads one pinned moment of all its tables."""

from __future__ import annotations

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa
import pytest

from lake_readings import SCHEMA, days, found, rows, spec, write
from millpond.cli.query import run_query
from millpond.errors import QueryRefused, RefNotFound
from millpond.lake import duck, pins, read
from millpond.lake.catalog import LakeCatalog, load_catalog
from millpond.lake.connect import borrow_connection
from millpond.lake.files import local_path
from millpond.lake.tables import Replacement, replace
from millpond.runtime.extensions import open_duckdb
from millpond.settings import process_environment

pytestmark = pytest.mark.usefixtures("home")


def _pins() -> int:
    with borrow_connection() as conn:
        row = conn.execute("select count(*) from lake_pins").fetchone()
    assert row is not None
    return int(row[0])


def test_tables_go_by_layer_and_name() -> None:
    write({0: [1], 1: [2]})
    with duck.connect() as connection:
        assert connection.execute("select sum(value) from raw.readings").fetchall() == [(3,)]
        assert connection.execute("select sum(value) from lake.raw.readings").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("select 1", []),
        ('from raw."READINGS"', ["readings"]),
        ("select (select count(*) from others) from lake.raw.readings", ["others", "readings"]),
        ("show all tables", ["others", "readings"]),
        ("-- which\nDESC", ["others", "readings"]),
        ("select * from information_schema.tables", ["others", "readings"]),
        ("from duckdb_views()", ["others", "readings"]),
    ],
)
def test_a_query_is_shown_the_tables_that_it_names_or_all_if_it_may_list_them(
    query: str, shown: list[str]
) -> None:
    write({0: [1]})
    write({0: [2]}, table=spec("raw.others"))
    with duck.connect(query=query) as connection:
        listed = connection.execute("select view_name from duckdb_views() where database_name = 'lake'")
        assert sorted(name for (name,) in listed.fetchall()) == shown


def test_a_query_that_names_its_table_in_pieces_reads_it_and_one_that_misnames_it_is_told_of_it() -> None:
    write({0: [1]})
    assert run_query("select value from query_table('raw.read' || 'ings')")[1] == [(1,)]
    with pytest.raises(QueryRefused, match=r"Did you mean.*readings"):
        run_query("from raw.reading")


def test_a_pinned_connection_does_not_move_and_does_not_write() -> None:
    write({0: [1]})
    with duck.connect() as connection:
        write({0: [2]})
        assert connection.execute("select value from raw.readings").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error, match="readings is not an table"):
            connection.execute("insert into raw.readings select * from raw.readings")
    assert found() == {0: [2]}


def test_a_pin_is_given_back_with_its_connection() -> None:
    connection = duck.connect()
    assert _pins() == 1
    connection.close()
    del connection
    gc.collect()
    assert _pins() == 0


def test_an_unknown_ref_is_refused() -> None:
    with pytest.raises(RefNotFound, match="'gone'"):
        duck.connect("gone")


def test_cursors_of_one_connection_read_in_parallel() -> None:
    write({n: [n] for n in range(5)})
    with duck.connect() as connection, ThreadPoolExecutor(8) as pool:
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


def test_what_is_listed_is_what_is_there_also_empty_and_oddly_named_tables() -> None:
    client = load_catalog("main")
    client.create_namespace('Odd "layer"')
    for name in (('Odd "layer"', "My table's"), ("raw", "without_rows")):
        client.create_table(name, SCHEMA)
    write({0: [1]})
    with duck.connect() as connection:
        assert connection.execute(
            "select table_schema, table_name from information_schema.tables"
            " where table_catalog = 'lake' order by 1, 2"
        ).fetchall() == [('Odd "layer"', "My table's"), ("raw", "readings"), ("raw", "without_rows")]
        assert connection.execute('from "Odd ""layer"""."My table\'s"').fetchall() == []
        assert connection.execute("select reading_id from raw.without_rows").fetchall() == []
        assert connection.execute("describe raw.without_rows").fetchall()[2][:2] == ("value", "BIGINT")
    client.drop_table("raw.readings")
    with duck.connect() as connection, pytest.raises(duckdb.Error, match="readings does not exist"):
        connection.execute("from raw.readings")


def test_a_table_whose_files_are_gone_says_so_and_keeps_no_other_from_being_read() -> None:
    write({0: [1]})
    write({0: [2]}, table=spec("raw.others"))
    local_path(read.load_table("main", "raw.readings").metadata_location).unlink()
    with duck.connect() as connection:
        assert connection.execute("select value from raw.others").fetchall() == [(2,)]
        with pytest.raises(duckdb.Error, match=r"table raw\.readings cannot be read: .*metadata"):
            connection.execute("from raw.readings")


def test_a_connection_is_shown_the_versions_of_other_pointers() -> None:
    write({0: [1]})
    write({0: [5]}, table=spec("raw.others"))
    with pins.hold_pin("main") as before, open_duckdb() as connection:
        lake = duck.Lake(connection)
        lake.show(connection, before.pointers)
        cursor = connection.cursor()
        assert cursor.execute("select value from lake.raw.readings").fetchall() == [(1,)]
        widened = pa.table({**dict(zip(SCHEMA.names, rows({0: [2]}).columns, strict=True)), "note": ["new"]})
        replace([Replacement(spec(), widened, days(0, 0))], ref="main", run_id="run")
        LakeCatalog("main").drop_table("raw.others")
        with pins.hold_pin("main") as after:
            lake.point(cursor, "raw.readings", after.pointers["raw.readings"])
            assert connection.execute("select value, note from lake.raw.readings").fetchall() == [(2, "new")]
            lake.show(connection, after.pointers)
            with pytest.raises(duckdb.Error, match="others does not exist"):
                cursor.execute("from lake.raw.others")
        lake.show(connection, before.pointers)
        assert cursor.execute("from lake.raw.others").fetchall()[0][2] == 5
        assert [c[0] for c in cursor.execute("from lake.raw.readings").description] == SCHEMA.names


def test_reading_the_lake_imports_neither_pyiceberg_nor_a_server() -> None:
    write({0: [1]})
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from millpond.cli.query import run_query\n"
            "assert run_query('select value from raw.readings')[1] == [(1,)]\n"
            "heavy = ('dagster', 'dbt', 'pyiceberg', 'pyarrow', 'sqlalchemy', 'starlette', 'uvicorn')\n"
            "print([n for n in heavy if n in sys.modules])",
        ],
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
