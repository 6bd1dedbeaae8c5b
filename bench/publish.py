"""A mart published beside what scripts do: DROP and CREATE with executemany, pandas' to_sql; and raw COPY.

    python bench/publish.py [--rows 1000000] [--repeat 3] [--slow-rows 100000] [--quick]

Ours and executemany read the same rows of a gold table, pandas reads them from a Parquet file. A reader asks
for the mart all the time; shown is what it met: errors, empty tables, rows of two versions, its longest wait.
Raw COPY sends bytes that Postgres itself wrote into a table with the same primary key, and into one without:
what this server can take. It reads no lake, encodes nothing and does not look at what arrived. Scripts get
`--slow-rows`, and are counted as if they were as fast with all rows. Works in a home of its own, which is
removed at the end.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from pairs import OURS, ROOT, Case, Took, Way, compared, measure, own_home, report

DDL = "id bigint{key}, day date, device text, value double precision, version bigint"
COLUMNS = ("id", "day", "device", "value", "version")
RAW, RAW_KEY, RAW_KEY_AFTER = "raw COPY, no key", "raw COPY, primary key", "raw COPY, then the primary key"
MANY, TO_SQL = "DROP, CREATE, executemany", "pandas to_sql, replace"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--slow-rows", type=int, default=100_000, help="of the two scripts")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="20,000 rows, once: to see that it works")
    asked = parser.parse_args()
    rows, slow, repeat = (20_000, 5_000, 1) if asked.quick else (asked.rows, asked.slow_rows, asked.repeat)
    with own_home():
        cases = [_first(rows, repeat), _again(rows, min(rows, slow), repeat)]
    report("publish", "Publishing a mart", cases, keep=not asked.quick)


def _make(rows: int, version: int, changed: float = 1.0) -> Any:
    """Return rows of which a share has this version, the others version 0."""
    import numpy as np
    import pyarrow as pa

    ids = np.arange(rows)
    new = ids % 1000 < changed * 1000
    days = np.datetime64("2020-01-01") + (ids // 1000).astype("timedelta64[D]")
    return pa.table(
        {
            "id": ids,
            "day": pa.array(days.astype("datetime64[D]")),
            "device": pa.array(np.char.add("device ", (ids % 97).astype(str))),
            "value": ids * 0.25,
            "version": np.where(new, version, 0),
        }
    )


def _write(name: str, data: Any) -> None:
    from millpond.lake.tables import Replacement, TableSpec, replace

    replace([Replacement(TableSpec(f"gold.{name}", data.schema), data, None)], ref="main", run_id="bench")


def _publish(name: str) -> None:
    from millpond.publish.publication import publish
    from millpond.publish.spec import MartSpec, PublishDeclaration

    mart = MartSpec(name=name, table=f"gold.{name}", declared=PublishDeclaration(key=("id",)))
    publish([mart], ref="main", run_id="bench")


def _connect() -> psycopg.Connection[Any]:
    from millpond.runtime.databases import databases

    return databases().marts.connect(autocommit=True)


def _first(rows: int, repeat: int) -> Case:
    """A mart that is not there yet, beside raw COPY into a new table."""
    data = _make(rows, 1)
    for turn in range(repeat + 1):
        _write(f"first_{turn}", data)
    _publish("first_0")
    with (
        _connect() as connection,
        connection.cursor().copy(
            "copy marts.first_0 (id, day, device, value, version) to stdout (format binary)"
        ) as copy,
    ):
        body = b"".join(copy)
    with _connect() as connection:
        connection.execute("drop table marts.first_0")

    def raw(name: str, key: str = "", after: str = "") -> Way:
        def copy(turn: int) -> None:
            with _connect() as connection, connection.transaction():
                connection.execute(f"create table marts.{name}_{turn} ({DDL.format(key=key)})")
                with connection.cursor().copy(
                    f"copy marts.{name}_{turn} from stdin (format binary)"
                ) as target:
                    stream = io.BytesIO(body)
                    while part := stream.read(1 << 20):
                        target.write(part)
                if after:
                    connection.execute(f"alter table marts.{name}_{turn} {after}")

        return copy

    ways: dict[str, Way] = {
        OURS: lambda turn: _publish(f"first_{turn}"),
        RAW_KEY: raw("raw_key", key=" primary key"),
        RAW_KEY_AFTER: raw("raw_after", after="add primary key (id)"),
        RAW: raw("raw"),
    }
    return Case(f"{rows:,} rows, first time", measure(ways, repeat=repeat), bars={RAW_KEY: 0.8})


def _again(rows: int, slow: int, repeat: int) -> Case:
    """A mart that is there, all of whose rows are new; a reader looks at it all the time."""
    import pyarrow.parquet as pq

    from millpond.lake import read
    from millpond.runtime.databases import databases
    from millpond.settings import settings

    watched: dict[str, dict[str, Any]] = {}
    for name, size in (("ours", rows), ("many", slow)):
        _write(name, _make(size, 0))
    _publish("ours")
    script = subprocess.Popen(
        [compared("python"), str(ROOT / "bench" / "by_hand.py")],
        env={**os.environ, "BENCH_ADDRESS": databases().marts.sqlalchemy_uri.get_secret_value()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ours(turn: int) -> Took:
        _write("ours", _make(rows, turn + 1))
        with _watch("ours", watched.setdefault(OURS, {})):
            return _time(lambda: _publish("ours"))

    def many(turn: int) -> Took:
        _write("many", _make(slow, turn + 1))

        def work() -> None:
            found = read.scan("main", "gold.many")
            with _connect() as connection:
                connection.execute("drop table if exists marts.many")
                connection.execute(f"create table marts.many ({DDL.format(key=' primary key')})")
                values = zip(*(found[name].to_pylist() for name in COLUMNS), strict=True)
                connection.cursor().executemany("insert into marts.many values (%s,%s,%s,%s,%s)", values)

        with _watch("many", watched.setdefault(MANY, {})):
            return Took(_time(work) * rows / slow)

    def to_sql(turn: int) -> Took:
        file = settings().home / "to_sql.parquet"
        pq.write_table(_make(slow, turn + 1), file)
        assert script.stdin
        assert script.stdout
        with _watch("to_sql", watched.setdefault(TO_SQL, {})):
            print(file, "to_sql", file=script.stdin, flush=True)
            return Took(float(script.stdout.readline()) * rows / slow)

    taken = measure({OURS: ours, MANY: many, TO_SQL: to_sql}, repeat=repeat)
    script.communicate()
    seen = {f"a reader meanwhile, {way}": _describe(found) for way, found in watched.items()}
    return Case(f"{rows:,} rows again, all of them changed", taken, seen=seen)


def _time(work: Callable[[], object]) -> Took:
    began = time.perf_counter()
    work()
    return Took(time.perf_counter() - began)


@contextmanager
def _watch(table: str, found: dict[str, Any]) -> Iterator[None]:
    """Ask for the table until the block ends, and count in `found` what a reader meets."""
    over = threading.Event()
    for name in ("reads", "errors", "empty", "torn", "wait"):
        found.setdefault(name, 0)

    def poll() -> None:
        with _connect() as connection:
            while not over.is_set():
                began = time.perf_counter()
                try:
                    rows, versions = connection.execute(
                        f"select count(*), count(distinct version) from marts.{table}"
                    ).fetchone()  # type: ignore[misc]
                except psycopg.Error:
                    found["errors"] += 1
                else:
                    found["reads"] += 1
                    found["empty"] += rows == 0
                    found["torn"] += versions > 1
                found["wait"] = max(found["wait"], time.perf_counter() - began)
                over.wait(0.02)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _describe(found: dict[str, Any]) -> str:
    return (
        f"{found['reads']:,} reads, {found['errors']} errors, {found['empty']} empty, {found['torn']} of two"
        f" versions, longest {found['wait']:.2f} s"
    )


if __name__ == "__main__":
    main()
