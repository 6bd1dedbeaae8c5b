"""Snapshots keep history through the audit: updates, deletes, rows that come again or late, repeated runs."""

from __future__ import annotations

import pytest

from millpond.lake import read
from millpond.runtime.home import Home
from small_projects import Write, built, load
from snapshot_histories import FILES, T1, T2, history, live_through_changes, people, snapshot


@pytest.mark.slow
def test_snapshots_keep_what_dbt_says_they_keep(write_project: Write, home: Home) -> None:
    write_project(FILES)
    live_through_changes()


def test_a_key_that_is_not_unique_is_refused_and_history_stays(write_project: Write, home: Home) -> None:
    write_project({name: FILES[name] for name in ("models/sources.yml", "snapshots/kept.sql")})
    snapshot((1, "a", T1))
    load("people", people((1, "a", T1), (1, "b", T2)))
    result, text = built(["kept"])
    assert not result.merged
    assert "snapshot kept: the unique_key id is not unique: 1 keys come more than once" in text
    assert history("kept") == {"1 a now"}


def test_a_column_that_is_new_in_the_query_is_added(write_project: Write, home: Home) -> None:
    write_project({name: FILES[name] for name in ("models/sources.yml", "snapshots/kept.sql")})
    snapshot((1, "a", T1))
    load("people", people((1, "b", T2)).append_column("town", [["Bern"]]))
    assert built(["kept"])[0].merged
    rows = read.scan("main", "silver.kept").to_pylist()
    assert {(row["name"], row["town"]) for row in rows} == {("a", None), ("b", "Bern")}
