"""A session of the outbox that ends at any step of a delivery: the message goes out all the same."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from alerting import OPEN, alert, put
from millpond.alerts import deliveries
from millpond.alerts.channels import channels
from millpond.alerts.outbox import Connection, outbox
from millpond.alerts.routing import Routing, route
from millpond.alerts.worker import Worker
from millpond.runtime.databases import Database, databases
from millpond.settings import Settings, settings
from receivers import Web, web
from waiting import until

STATEMENTS = 6
"""How many a worker sends to Postgres for one message, at least."""


@pytest.fixture
def hook(home: object, configure: Callable[..., Settings]) -> Iterator[Web]:
    with web() as service:
        configure(webhook_url=service.url)
        yield service


@pytest.fixture
def worker(hook: Web) -> Iterator[Worker]:
    """A worker with one alert to deliver, without a pause before another attempt."""
    put(alert(1))
    with outbox() as connection:
        route(connection, Routing(), ["webhook"], dt.datetime.now(dt.UTC))
    found = Worker(channels(settings())["webhook"], Routing, (), threading.Event())
    yield found
    found.close()


def end_session(connection: psycopg.Connection[Any]) -> None:
    with databases().ops.connect_as_it_is() as other:
        other.execute("select pg_terminate_backend(%s, 10000)", (connection.info.backend_pid,))


def sever_before(patch: pytest.MonkeyPatch, statement: int) -> Iterator[int]:
    """Have the worker's session end right before so many statements; returns what counts them."""
    executed, connect = itertools.count(1), Database.connect

    def connect_to_count(database: Database, **options: Any) -> psycopg.Connection[Any]:
        connection = connect(database, **options)
        execute = connection.execute

        def count_and_execute(*arguments: Any) -> Any:
            if next(executed) == statement:
                end_session(connection)
            return execute(*arguments)

        connection.execute = count_and_execute  # type: ignore[method-assign, assignment]
        return connection

    patch.setattr(Database, "connect", connect_to_count)
    return executed


def work(worker: Worker, rounds: int = 3) -> None:
    for _ in range(rounds):
        worker.once()


def left() -> list[Any]:
    with outbox() as connection:
        return connection.execute(OPEN).fetchall()  # type: ignore[arg-type]


@pytest.mark.parametrize("statement", range(1, STATEMENTS + 1))
def test_a_session_that_ends_at_any_step_delays_a_delivery_and_loses_none(
    worker: Worker, hook: Web, monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    with monkeypatch.context() as patch:
        executed = sever_before(patch, statement)
        work(worker)
    assert next(executed) > statement
    assert left() == []
    assert len({message["message"] for message in hook.taken}) == 1
    assert len(hook.taken) == 1 + sum(message["repeat"] for message in hook.taken[1:])


def test_a_worker_goes_on_after_an_error_that_nobody_foresaw(
    worker: Worker, hook: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, wrong = deliveries.claim, iter([True, False])

    def break_once(connection: Connection, *arguments: Any, **options: Any) -> Any:
        claimed = claim(connection, *arguments, **options)
        if next(wrong, False):
            raise RuntimeError("no such thing")
        return claimed

    monkeypatch.setattr(deliveries, "claim", break_once)
    monkeypatch.setattr("millpond.alerts.worker._FAULT_SECONDS", 0.01)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    until(lambda: not left())
    worker._stop.set()
    thread.join()
    assert len(hook.taken) == 1
