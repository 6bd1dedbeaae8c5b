"""New sources as `millpond sources new` proposes them, and systems for it to look at."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

Run = Callable[..., tuple[int, str, str]]


def new(run: Run, *arguments: str) -> Any:
    code, out, error = run("sources", "new", *arguments, "--json")
    assert code == 0, out + error
    return json.loads(out)


def table_of(found: Any, name: str = "shop") -> Any:
    return yaml.safe_load(found["files"][f"sources/{name}.yaml"])["tables"][0]


def make_database(file: Path) -> str:
    """Make a SQLite database with invoices, readings and countries; returns its address."""
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "create table invoices (id integer primary key, customer text, total numeric(10, 2),"
            " created_at timestamp not null, updated_at timestamp)"
        )
        start = dt.datetime(2026, 11, 20)
        rows = [
            (n, f"c{n % 7}" if n % 5 else None, n * 1.25, f"{start + dt.timedelta(hours=n)}")
            for n in range(192)
        ]
        database.executemany("insert into invoices values (?, ?, ?, ?, ?4)", rows)
        database.execute("create table readings (sensor text, taken integer, value real)")
        moment = int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp() * 1000)
        readings = [(f"s{n % 3}", moment + n // 3 * 3_600_000, n * 0.5) for n in range(300)]
        database.executemany("insert into readings values (?, ?, ?)", readings)
        database.execute("create table countries (code text primary key, name text)")
        database.execute("insert into countries values ('de', 'Germany'), ('fr', 'France')")
    return f"sqlite:///{file}"


def write_till(folder: Path, name: str = "sales_{day:%Y-%m-%d}.csv", charset: str = "utf-8") -> None:
    """Write a file of six sales, as an European till does, for each of three days."""
    for day in (dt.date(2026, 11, 25), dt.date(2026, 11, 26), dt.date(2026, 11, 27)):
        file = folder / name.format(day=day)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"{day:%d}{n};{day:%d.%m.%Y} 0{n}:15;1{n},50;Käse" for n in range(6)]
        file.write_text("\n".join(["receipt;sold at;amount;what", *rows, ""]), encoding=charset)
