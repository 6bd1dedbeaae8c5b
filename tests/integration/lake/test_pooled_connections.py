"""Connections of this process's pool to the catalog."""

import pytest

from millpond.lake.connect import borrow_connection, borrow_session, connect


@pytest.mark.usefixtures("home")
def test_a_returned_connection_is_borrowed_again() -> None:
    with borrow_connection() as conn:
        first = conn.info.backend_pid
    with borrow_connection() as conn:
        assert conn.info.backend_pid == first


@pytest.mark.usefixtures("home")
def test_a_connection_that_the_server_ended_is_not_borrowed_again() -> None:
    with borrow_connection() as conn:
        first = conn.info.backend_pid
    with connect() as other:
        other.execute("select pg_terminate_backend(%s, 10000)", (first,))
    with borrow_connection() as conn:
        assert conn.info.backend_pid != first
        assert conn.execute("select 1").fetchone() == (1,)


_HELD = "select count(*) from pg_locks where locktype = 'advisory' and pid = %s"


@pytest.mark.usefixtures("home")
def test_the_locks_of_a_session_end_with_its_work_and_it_is_borrowed_again() -> None:
    with borrow_session() as conn:
        first = conn.info.backend_pid
        conn.execute("select pg_advisory_lock(1), pg_advisory_lock_shared(2)")
        assert conn.execute(_HELD, (first,)).fetchone() == (2,)
    with borrow_connection() as conn:
        assert conn.info.backend_pid == first
        assert conn.execute(_HELD, (first,)).fetchone() == (0,)


@pytest.mark.usefixtures("home")
def test_a_session_whose_work_failed_is_closed_and_its_locks_end_with_it() -> None:
    session = borrow_session()
    conn = session.__enter__()
    conn.execute("select pg_advisory_lock(1)")
    assert not session.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert conn.closed
    with borrow_session() as other, other.transaction():
        other.execute("set local lock_timeout = '20s'")  # the server ends a session after it was closed
        other.execute("select pg_advisory_xact_lock(1)")
        assert other is not conn


@pytest.mark.usefixtures("home")
def test_a_session_that_the_server_ends_after_its_work_was_done_fails_nothing() -> None:
    with borrow_session() as conn, connect() as other:
        other.execute("select pg_terminate_backend(%s, 10000)", (conn.info.backend_pid,))
    assert conn.closed
