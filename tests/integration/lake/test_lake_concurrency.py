"""Many processes write at once: each write lands whole, none is lost, none is mixed with another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from lake_readings import days, found, rows, spec, write
from millpond.errors import LockTimeout, PartitionConflict
from millpond.lake import pointers, read, refs
from millpond.lake.connect import connect
from millpond.lake.locks import lock_key, lock_tables
from millpond.lake.tables import Replacement, replace
from processes import barrier, exit_codes, start

pytestmark = pytest.mark.usefixtures("home")


def _write_at_once(gate: Any, ref: str, values: dict[int, list[int]], run: str) -> None:
    gate.wait()
    write(values, ref=ref, run=run)


def _write_again_and_again(gate: Any, number: int, times: int) -> None:
    gate.wait()
    for i in range(times):
        write({0: [number * 100 + i] * 3, 1: [number * 100 + i] * 3}, run=f"run-{number}")


def _create_and_merge(gate: Any, number: int, times: int) -> None:
    gate.wait()
    for i in range(times):
        branch = f"writer{number}_{i}"
        refs.create(branch)
        write({number: [i]}, ref=branch)
        refs.merge(branch)


def test_two_processes_on_the_same_new_partition_leave_the_rows_of_one() -> None:
    gate = barrier(2)
    written = {1: [1] * 5, 2: [2] * 3}
    writers = [start(_write_at_once, gate, "main", {0: v}, f"run-{n}") for n, v in written.items()]
    assert exit_codes(writers) == [0, 0]
    assert found() in [{0: [1] * 5}, {0: [2] * 3}]


def test_two_processes_that_keep_replacing_the_same_days_never_mix() -> None:
    gate = barrier(3)
    writers = [start(_write_again_and_again, gate, n, 8) for n in (1, 2)]
    gate.wait()
    seen = 0
    while any(w.is_alive() for w in writers):
        if read.exists("main", "raw.readings") and (now := found()):
            assert now[0] == now[1]
            assert len(now[0]) == 3
            assert len(set(now[0])) == 1
            seen += 1
    assert exit_codes(writers) == [0, 0]
    assert seen


def test_sixteen_processes_on_sixteen_days_of_one_table_all_land() -> None:
    gate = barrier(16)
    codes = exit_codes(start(_write_at_once, gate, "main", {n: [n, n + 100]}, f"run-{n}") for n in range(16))
    assert codes == [0] * 16
    assert found() == {n: [n, n + 100] for n in range(16)}


def test_merges_of_branches_lose_nothing_under_concurrency() -> None:
    write({9: [9]})
    gate = barrier(3)
    assert exit_codes(start(_create_and_merge, gate, n, 3) for n in range(3)) == [0, 0, 0]
    assert found() == {0: [2], 1: [2], 2: [2], 9: [9]}
    assert [ref.name for ref in refs.list_refs()] == ["main"]


@pytest.fixture
def holder() -> Iterator[psycopg.Connection]:
    with connect() as conn:
        conn.execute("set application_name = 'millpond 4711 run-of-another'")
        conn.execute("select pg_advisory_lock(%s)", (lock_key("main", "raw.readings"),))
        yield conn


def test_a_lock_held_by_another_is_waited_for_in_bounds_and_its_holder_named(
    holder: psycopg.Connection, configure: Any
) -> None:
    configure(lock_seconds=0.3)
    with pytest.raises(LockTimeout, match=r"millpond 4711 run-of-another .*waited 0\.3 s"):
        write({0: [1]})
    assert not read.exists("main", "raw.readings")


def test_a_lock_does_not_keep_writers_of_other_tables_and_refs(holder: psycopg.Connection) -> None:
    write({0: [1]}, table=spec("raw.others"))
    refs.create("dev")
    write({0: [1]}, ref="dev")
    assert found("raw.others") == found(ref="dev") == {0: [1]}


def test_a_write_goes_on_as_soon_as_the_lock_is_free(holder: psycopg.Connection) -> None:
    gate = barrier(1)
    waiting = start(_write_at_once, gate, "main", {0: [1]}, "patient")
    with connect() as watcher:
        while not watcher.execute(
            "select 1 from pg_locks where locktype = 'advisory' and not granted"
        ).fetchone():
            assert waiting.is_alive()
    holder.execute("select pg_advisory_unlock_all()")
    assert exit_codes([waiting]) == [0]
    assert found() == {0: [1]}


def test_a_lock_names_its_run() -> None:
    with lock_tables("main", ["raw.readings"], run_id="run-42") as conn:
        name = conn.execute("select current_setting('application_name')").fetchone()
        assert name == (f"millpond {os.getpid()} run-42",)


def test_a_writer_outside_the_locks_makes_a_write_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    write({0: [1]})
    refs.create("dev")
    write({1: [2]}, ref="dev")
    original = pointers.move_pointers
    overtaken: list[str] = []

    def overtake(*args: Any) -> None:
        if not overtaken:
            overtaken.append("once")
            refs.merge("dev")
        original(*args)

    monkeypatch.setattr("millpond.lake.commit.move_pointers", overtake)
    write({2: [3]})
    assert found() == {0: [1], 1: [2], 2: [3]}


def _write_known(values: dict[int, list[int]], known: dict[str, str]) -> bool:
    replacement = Replacement(spec(), rows(values), days(min(values), max(values)))
    (written,) = replace([replacement], ref="audit", run_id="run", known=known)
    return written.changed


def test_the_only_writer_of_a_branch_asks_the_catalog_for_its_commits_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write({0: [1]})
    refs.create("audit")
    known = {"raw.readings": read.load_table("audit", "raw.readings").metadata_location}
    with monkeypatch.context() as asking:
        asking.setattr(psycopg.Cursor, "execute", _refuse)
        assert not _write_known({0: [1]}, known)
    assert _write_known({1: [2]}, known)
    assert found(ref="audit") == {0: [1], 1: [2]}


def test_a_branch_with_another_writer_after_all_is_written_on_top_of_it() -> None:
    write({0: [1]})
    refs.create("audit")
    known = {"raw.readings": read.load_table("audit", "raw.readings").metadata_location}
    write({1: [2]}, ref="audit")
    assert _write_known({2: [3]}, known)
    assert found(ref="audit") == {0: [1], 1: [2], 2: [3]}
    with pytest.raises(PartitionConflict):
        _write_known({1: [7]}, known)
    assert _write_known({3: [4]}, {}), "a table that is there although it is not known"
    assert found(ref="audit") == {0: [1], 1: [2], 2: [3], 3: [4]}


def _refuse(*given: Any, **named: Any) -> None:
    raise AssertionError((given, named))


def test_a_table_that_never_stands_still_is_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    write({0: [1]})

    def always_overtaken(*args: Any) -> None:
        raise pointers.PointerMoved("raw.readings")

    monkeypatch.setattr("millpond.lake.commit.move_pointers", always_overtaken)
    monkeypatch.setattr("millpond.lake.tables._ATTEMPTS", 2)
    with pytest.raises(PartitionConflict, match=r"raw\.readings on ref main was changed by others"):
        write({0: [2]})
    monkeypatch.undo()
    assert found() == {0: [1]}
