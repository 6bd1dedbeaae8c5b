"""Statements that runs repeat are parsed and planned once for each connection, and answer as before."""

from __future__ import annotations

import dagster as dg
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DataError

from millpond.instance.connections import pool
from millpond.instance.home import open_instance
from millpond.instance.prepared import execute
from millpond.internals.dagster import make_new_run_id
from millpond.runtime.home import Home

SUM = "select %(first)s::int + %(second)s::int, %(texts)s::text[], %(first)s"
INVERSE = "select 100 / %(number)s::int"
VALUES = {"first": 1, "second": 2, "texts": ["100 % $1", "it's", None]}


def list_prepared(connection: Connection) -> list[str]:
    names = connection.exec_driver_sql("select name from pg_prepared_statements order by prepare_time")
    return list(names.scalars())


def test_a_statement_is_prepared_the_second_time_and_answers_the_same(home: Home) -> None:
    with open_instance(), pool().connect() as connection:
        before = list_prepared(connection)
        found = [execute(connection, SUM, VALUES).fetchall() for _ in range(4)]
        assert found == [[(3, VALUES["texts"], 1)]] * 4
        assert len(list_prepared(connection)) == len(before) + 1
        assert execute(connection, SUM, VALUES | {"texts": []}).fetchall() == [(3, [], 1)]


def test_a_statement_that_fails_when_it_is_prepared_is_prepared_again(home: Home) -> None:
    with open_instance(), pool().connect() as connection:
        assert execute(connection, INVERSE, {"number": 50}).scalar() == 2
        with pytest.raises(DataError, match="division by zero"):
            execute(connection, INVERSE, {"number": 0})
        assert [execute(connection, INVERSE, {"number": 10}).scalar() for _ in range(2)] == [10, 10]


def test_another_connection_prepares_for_itself(home: Home) -> None:
    with open_instance(), pool().connect() as one, pool().connect() as other:
        for connection in (one, one, other, other):
            assert execute(connection, INVERSE, {"number": 20}).scalar() == 5
        assert list_prepared(one)
        assert list_prepared(other)


def test_a_plan_of_steps_that_is_stored_is_there(home: Home) -> None:
    @dg.asset
    def colours() -> None: ...

    job = dg.Definitions(assets=[colours], jobs=[dg.define_asset_job("all", "*")]).resolve_job_def("all")
    with open_instance() as recorded:
        run = recorded.get_run_by_id(job.execute_in_process(instance=recorded).run_id)
        assert run is not None
        assert run.execution_plan_snapshot_id is not None
        assert recorded.run_storage.has_execution_plan_snapshot(run.execution_plan_snapshot_id)
        assert not recorded.run_storage.has_execution_plan_snapshot(make_new_run_id())
