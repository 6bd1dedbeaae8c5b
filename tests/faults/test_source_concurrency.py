"""Loads that meet: of one day or of many, in one process or two, ended by Ctrl-C."""

from __future__ import annotations

import datetime as dt
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest

from fake_source import DAY, Answer, Entries, FakeSource, fake_source, reading
from millpond.settings import Settings
from processes import barrier, exit_codes, start
from source_tables import load_days, raw

DAYS = [DAY + dt.timedelta(n) for n in range(6)]


@pytest.fixture
def server(home: object, configure: Callable[..., Settings]) -> Iterator[FakeSource]:
    with fake_source() as source:
        configure(greenhouse_url=source.url)
        source.serve = Entries([reading(n, day) for day in DAYS for n in range(5)])
        yield source


def test_threads_of_one_process_load_different_days_at_once(server: FakeSource) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(load_days, DAYS))
    assert [p.rows_loaded for result in results for p in result.partitions] == [5] * len(DAYS)
    assert len(raw("_id")) == 5 * len(DAYS)


def test_two_processes_that_load_one_day_at_once_leave_it_once(server: FakeSource) -> None:
    gate = barrier(2)
    assert exit_codes([start(_load_at_once, gate) for _ in range(2)]) == [0, 0]
    assert raw("_id") == [f"20261101-000{n}" for n in range(5)]


def test_ctrl_c_ends_a_load_at_once_and_leaves_nothing(
    server: FakeSource, configure: Callable[..., Settings], ctrl_c: None
) -> None:
    configured = configure(rate_limit_wait_seconds=600)

    def limited(_: Any) -> Answer:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return Answer(b"", 429, {"Retry-After": "500"})

    server.serve = limited
    with pytest.raises(KeyboardInterrupt):
        load_days(DAY)
    assert list(configured.staging.iterdir()) == []
    assert raw() == []


def _load_at_once(gate: Barrier) -> None:
    gate.wait()
    load_days(DAY)
