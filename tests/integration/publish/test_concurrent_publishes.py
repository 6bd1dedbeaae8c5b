"""Publishes, readers and the end of a branch at one time: nobody sees half of anything."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from mart_rows import DAYS, Connection, Spec, Write

from millpond.errors import PublishFailed
from millpond.lake import refs
from millpond.publish import publication
from millpond.publish.publication import publish
from millpond.publish.schemas import drop_marts
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow


def test_readers_never_see_an_empty_half_written_or_mixed_state(
    write: Write, spec: Spec, reader: Connection
) -> None:
    marts = [spec("mrt_left", key=["id"]), spec("mrt_right", key=["id"], mode="all")]

    def version(number: int) -> dict[str, Any]:
        table = pa.table({"id": range(200), "version": [number] * 200})
        return {"mrt_left": table, "mrt_right": table}

    write(**version(0))
    publish(marts, ref="main", run_id="r0")
    seen: list[tuple[Any, ...]] = []
    done = threading.Event()

    def poll() -> None:
        while not done.is_set():
            seen.extend(
                reader.execute(
                    "SELECT (SELECT count(*) FROM marts.mrt_left), (SELECT count(*) FROM marts.mrt_right),"
                    " (SELECT array_agg(DISTINCT version) FROM marts.mrt_left),"
                    " (SELECT array_agg(DISTINCT version) FROM marts.mrt_right)"
                )
            )

    polling = threading.Thread(target=poll)
    polling.start()
    try:
        for number in range(1, 16):
            write(**version(number))
            publish(marts, ref="main", run_id=f"r{number}")
    finally:
        done.set()
        polling.join()
    torn = [s for s in seen if s[:2] != (200, 200) or len(s[2]) != 1 or s[2] != s[3]]
    assert not torn
    assert len({s[2][0] for s in seen}) > 5, "the reader polled between the swaps"


def test_a_branch_that_is_dropped_during_a_publish_leaves_no_marts(
    write: Write, spec: Spec, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs.create("dev")
    write(ref="dev", mrt_days=DAYS)
    with ThreadPoolExecutor(1) as pool:

        def drop(point: str) -> None:
            if point == "publish.copied":
                refs.drop("dev")
                dropping.append(pool.submit(drop_marts, "dev"))
                while not owner.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
                    pass

        dropping: list[Future[list[str]]] = []
        monkeypatch.setattr(publication, "reached", drop)
        publish([spec()], ref="dev", run_id="r1")
        assert dropping[0].result() == ["marts_dev.mrt_days"]
    schemas = owner.execute("SELECT nspname FROM pg_namespace WHERE nspowner = 'millpond_marts'::regrole")
    assert schemas.fetchall() == [("marts",)]


def test_publishes_of_one_ref_at_once_end_with_the_newest_state(
    write: Write, spec: Spec, owner: Connection
) -> None:
    write(mrt_days=DAYS)
    publish([spec()], ref="main", run_id="r0")

    def one(number: int) -> None:
        write(mrt_days=[{**d, "readings": number} for d in DAYS])
        publish([spec()], ref="main", run_id=f"r{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(1, 5)))
    (published,) = publish([spec()], ref="main", run_id="last")
    assert published.rows_changed == 0, "the last publish wrote the newest state of the lake"


_LEFT = """
SELECT current_setting('application_name'), current_setting('lock_timeout'),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r')
"""


def test_publishes_share_a_session_in_which_each_leaves_nothing(
    write: Write, spec: Spec, owner: Connection
) -> None:
    new = owner.execute(_LEFT).fetchone()
    backends = set()
    for number in range(3):
        write(mrt_days=[{"day": 1, "n": number}])
        publish([spec()], ref="main", run_id=f"run {number}")
        with borrow(databases().marts) as session:
            backends.add(session.info.backend_pid)
            assert session.execute(_LEFT).fetchone() == new
    assert len(backends) == 1


def test_a_publish_that_fails_leaves_its_session_to_nobody(write: Write, spec: Spec) -> None:
    write(mrt_days=[{"day": 1}])
    publish([spec()], ref="main", run_id="first")
    with borrow(databases().marts) as session:
        first = session.info.backend_pid
    write(mrt_days=[{"day": 1}, {"day": 1}])
    with pytest.raises(PublishFailed, match="not unique"):
        publish([spec()], ref="main", run_id="second")
    assert session.closed
    with borrow(databases().marts) as session:
        assert session.info.backend_pid != first
