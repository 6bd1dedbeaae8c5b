"""`millpond sources new` looks at databases as they are: with odd values, and behind a password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from new_sources import Run, new, table_of
from postgres_accounts import scratch_database


def test_values_that_are_not_of_their_columns_type_are_no_obstacle_to_a_proposal(
    new_project: Path, run: Run
) -> None:
    with closing(sqlite3.connect(new_project / "till.db")) as database, database:
        database.execute("create table bills (id integer primary key, total numeric, at datetime)")
        database.executemany(
            "insert into bills values (?, ?, ?)",
            [(1, 2.5, "2026-11-20 10:00:00"), (2, "twelve", "2026-11-20 11:00:00"), (3, 1, "")],
        )
    table = table_of(new(run, "till", "--kind", "sql", "--url", f"sqlite:///{new_project}/till.db"), "till")
    assert (table["key"], table["event_time"]["column"]) == (["id"], "at")


def test_account_and_password_of_an_address_go_to_env_apart(new_project: Path, run: Run) -> None:
    with scratch_database("desk", "clerk", "se/c:ret@1") as (admin, port):
        admin.execute("create table bills (id int primary key, total numeric)")
        admin.execute("insert into bills values (1, 'NaN'), (2, 1.10)")
        admin.execute("grant select on bills to clerk")
        address = f"postgresql://clerk:se%2Fc%3Aret%401@127.0.0.1:{port}/desk"
        code, out, error = run("sources", "new", "desk", "--kind", "sql", "--url", address, "--yes", "--json")
        assert code == 0, out + error
        written = (new_project / ".env").read_text()
        assert f"MILLPOND_DESK_URL=postgresql://127.0.0.1:{port}/desk" in written
        assert "MILLPOND_DESK_USER=clerk" in written
        assert "se/c:ret@1" in written
        assert "se/c:ret@1" not in out + (new_project / "sources" / "desk.yaml").read_text()
