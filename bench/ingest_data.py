"""The rows that bench/ingest.py has everything read: in databases, in files, and behind an HTTP server."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb

START, DAYS = "2026-10-01", 31
PAGE_ROWS = 1_000
COLUMNS = {
    # name: type in the databases, type in the spec, how it is made of the row's number
    "id": ("bigint", "int", "n"),
    "departs": ("timestamp", "timestamp", f"timestamp '{START}' + to_microseconds(n * step)"),
    **{f"day_{part}": ("int", "int", f"(hash(n + {i}) % 28)::int") for i, part in enumerate("ab")},
    **{f"clock_{i}": ("int", "int", f"(hash(n + {i + 10}) % 2400)::int") for i in range(6)},
    **{f"delay_{i}": ("float", "number", f"(hash(n + {i + 20}) % 5000)::double / 10") for i in range(4)},
    "carrier": ("text", "string", "chr(65 + (hash(n + 30) % 16)::int) || 'A'"),
    "tail": ("text", "string", "'N' || (hash(n + 31) % 4000) || 'AA'"),
    "origin": ("text", "string", "chr(65 + (hash(n + 32) % 3)::int) || 'WR'"),
    "dest": ("text", "string", "chr(65 + (hash(n + 33) % 20)::int) || 'AX'"),
    "remark": (
        *("text", "string"),
        "case when hash(n + 34) % 3 = 0 then 'gate ' || hash(n + 35) % 90 || ' changed, then on time' end",
    ),
    "cancelled": ("int", "int", "(hash(n + 36) % 50 = 0)::int"),
}
"""Twenty columns like those of flights: numbers, texts, some values missing."""


@contextmanager
def prepare(home: Path, sizes: dict[str, int], cases: list[str]) -> Iterator[dict[str, str]]:
    """Yield the address of each of `cases`; each has a table of each of `sizes`."""
    made = {name: home / f"{name}.parquet" for name in sizes}
    for name, rows in sizes.items():
        write_parquet(made[name], rows)
    addresses: dict[str, str] = {}
    server = None
    try:
        for case in cases:
            if case == "api":
                server = _serve(made)
                addresses[case] = f"http://127.0.0.1:{server.server_address[1]}"
            elif case == "parquet":
                addresses[case] = str(home)
            else:
                addresses[case] = {"csv": _csv, "sqlite": _sqlite, "postgres": _postgres}[case](home, made)
        yield addresses
    finally:
        if server:
            server.shutdown()


def write_parquet(file: Path, rows: int) -> None:
    """Write so many rows, evenly over the days."""
    step = DAYS * 86_400_000_000 // rows
    picked = ", ".join(f"{made} as {name}" for name, (_, _, made) in COLUMNS.items())
    duckdb.sql(f"select {picked} from (select range as n, {step} as step from range({rows}))").write_parquet(
        str(file), row_group_size=100_000
    )


def _csv(home: Path, made: dict[str, Path]) -> str:
    folder = home / "files"
    folder.mkdir()
    for name, file in made.items():
        duckdb.sql(f"from '{file}'").write_csv(str(folder / f"{name}.csv"))
    return str(folder)


def _sqlite(home: Path, made: dict[str, Path]) -> str:
    with sqlite3.connect(home / "shop.db") as database:
        for name, file in made.items():
            database.execute(f"create table {name} ({_columns()})")
            rows = duckdb.sql(f"select * replace (departs::varchar as departs) from '{file}'")
            marks = ", ".join("?" for _ in COLUMNS)
            while part := rows.fetchmany(20_000):
                database.executemany(f"insert into {name} values ({marks})", part)
    return f"sqlite:///{home}/shop.db"


def _postgres(home: Path, made: dict[str, Path]) -> str:
    from millpond.runtime.databases import connect_superuser, databases
    from millpond.runtime.home import layout
    from millpond.runtime.postmaster import find_server
    from millpond.settings import settings

    databases()
    folders = layout(settings())
    server = find_server(folders)
    assert server
    with connect_superuser(folders, server, "postgres") as admin:
        admin.autocommit = True
        admin.execute("create database shop")
        admin.execute("create role reader login superuser password 'reader'")
    with connect_superuser(folders, server, "shop") as database:
        for name, file in made.items():
            database.execute(f"create table {name} ({_columns()})")
            text = home / f"{name}.copy.csv"
            duckdb.sql(f"from '{file}'").write_csv(str(text), header=False)
            with database.cursor().copy(f"copy {name} from stdin (format csv)") as copy, text.open() as lines:
                while part := lines.read(1 << 20):
                    copy.write(part)
            text.unlink()
    return f"postgresql+psycopg://reader:reader@127.0.0.1:{server.port}/shop"


def _columns() -> str:
    return ", ".join(f"{name} {kind}" for name, (kind, _, _) in COLUMNS.items())


def _serve(made: dict[str, Path]) -> ThreadingHTTPServer:
    """Serve each table as pages of JSON, each with the address of the next one."""
    pages: dict[str, list[bytes]] = {}
    for name, file in made.items():
        rows = duckdb.sql(
            f"select to_json(r)::varchar from (select * replace (strftime(departs, '%Y-%m-%dT%H:%M:%S.%fZ')"
            f" as departs) from '{file}') as r"
        )
        pages[name] = []
        while part := rows.fetchmany(PAGE_ROWS):
            pages[name].append(",".join(text for (text,) in part).encode())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            name, number = asked.path.strip("/"), int(parse_qs(asked.query).get("page", ["0"])[0])
            more = number + 1 < len(pages[name])
            link = f'"http://{self.headers["Host"]}/{name}?page={number + 1}"' if more else "null"
            body = b'{"items": [%b], "next": %b}' % (pages[name][number], link.encode())
            self.send_response_only(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
