"""Pins: readers of several tables see one moment, however often branches are merged meanwhile."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from lake_readings import days, found, rows, spec
from millpond.errors import RefNotFound, TableNotFound
from millpond.lake import duck, pins, read, refs
from millpond.lake.tables import Replacement, replace
from processes import barrier, exit_codes, start

pytestmark = pytest.mark.usefixtures("home")

_TABLES = ("raw.readings", "silver.readings", "gold.readings")


def _write_all(value: int, ref: str) -> None:
    replacements = [Replacement(spec(name), rows({0: [value]}), days(0, 0)) for name in _TABLES]
    replace(replacements, ref=ref, run_id=f"run-{value}")


def _merge_again_and_again(gate: Any, times: int) -> None:
    gate.wait()
    for value in range(1, times + 1):
        refs.create("audit")
        _write_all(value, "audit")
        refs.merge("audit")


def test_a_pin_shows_all_tables_as_they_were() -> None:
    _write_all(1, "main")
    with pins.hold_pin("main") as pin:
        _write_all(2, "main")
        replace([Replacement(spec("raw.new"), rows({0: [1]}), days(0, 0))], ref="main", run_id="run")
        assert [found(name, pin) for name in _TABLES] == [{0: [1]}] * 3
        assert read.list_tables(pin) == sorted(_TABLES)
        assert not read.exists(pin, "raw.new")
        with pytest.raises(TableNotFound, match=r"raw\.new"):
            read.scan(pin, "raw.new")
    assert [found(name) for name in _TABLES] == [{0: [2]}] * 3


def test_pinned_readers_never_see_half_a_merge() -> None:
    _write_all(0, "main")
    gate = barrier(2)
    writer = start(_merge_again_and_again, gate, 6)
    gate.wait()
    seen: list[int] = []
    query = "select " + ", ".join(f"(select max(value) from lake.{name})" for name in _TABLES)
    while writer.is_alive():
        with duck.connect() as connection:
            (values,) = connection.execute(query).fetchall()
        with pins.hold_pin("main") as pin:
            scanned = [found(name, pin)[0][0] for name in _TABLES]
        assert len(set(values)) == len(set(scanned)) == 1
        seen += [values[0], scanned[0]]
    assert exit_codes([writer]) == [0]
    assert seen == sorted(seen)
    assert found() == {0: [6]}


def test_a_pin_nobody_gave_back_expires() -> None:
    _write_all(1, "main")
    lasting = pins.pin("main")
    gone = pins.pin("main", lifetime=dt.timedelta(microseconds=1))
    assert pins.get_pin(lasting.name) == lasting
    with pytest.raises(RefNotFound, match="has expired"):
        pins.get_pin(gone.name)
    assert pins.expire_pins() == 1
    assert pins.get_pin(lasting.name) == lasting


def test_a_pin_outlives_the_branch_it_shows() -> None:
    refs.create("dev")
    _write_all(1, "dev")
    with pins.hold_pin("dev") as pin:
        refs.drop("dev")
        assert found("gold.readings", pin) == {0: [1]}


def test_reading_tells_what_is_there() -> None:
    assert read.list_tables("main") == []
    _write_all(1, "main")
    replace([Replacement(spec(), rows({1: [2, 3], 2: [4]}), days(1, 2))], ref="main", run_id="run")
    assert read.count("main", "raw.readings") == 4
    assert read.count("main", "raw.readings", window=days(1, 1)) == 2
    scanned = read.scan("main", "raw.readings", columns=["value"], window=days(1, 2))
    assert scanned.column_names == ["value"]
    assert sorted(scanned["value"].to_pylist()) == [2, 3, 4]
    for act in (read.scan, read.count):
        with pytest.raises(TableNotFound, match=r"no table raw\.gone on ref main"):
            act("main", "raw.gone")
        with pytest.raises(RefNotFound):
            act("gone", "raw.readings")
