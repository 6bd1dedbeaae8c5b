"""Connections of this process's pool to the catalog."""

import pytest

from millpond.lake.connect import borrow_connection, connect


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
