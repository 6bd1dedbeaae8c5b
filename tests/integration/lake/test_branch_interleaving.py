"""Writers, branches, merges, drops and readers at once: no reader sees half a merge, no commit is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lake_readings import days, found, rows, spec
from millpond.errors import MergeConflict
from millpond.lake import duck, pins, refs
from millpond.lake.tables import Replacement, replace
from millpond.runtime.home import Home

TABLES = ("raw.readings", "silver.readings", "gold.readings")
ACTORS = 3
CONTESTED = ACTORS
"""A day that every actor writes; the others have one writer each."""

STEPS = ("write", "merge", "drop", "contest")
plans = st.lists(st.lists(st.sampled_from(STEPS), min_size=1, max_size=3), min_size=ACTORS, max_size=ACTORS)
"""For each actor what it does, one step after another."""


def put(ref: str, day: int, value: int) -> None:
    """Write one value to a day of all tables, in one commit."""
    replacements = [Replacement(spec(name), rows({day: [value]}), days(day, day)) for name in TABLES]
    replace(replacements, ref=ref, run_id=f"run-{value}")


def put_apart(ref: str, day: int, value: int) -> None:
    """Write one value to a day of all tables, one commit for each table, as models are built."""
    for name in TABLES:
        replace([Replacement(spec(name), rows({day: [value]}), days(day, day))], ref=ref, run_id="run")


@dataclass
class Actor:
    """Does its steps; knows what main must hold on its own day, and what may be on the contested one."""

    number: int
    steps: list[str]
    landed: list[int] = field(default_factory=list)
    contested: list[int] = field(default_factory=list)

    def act(self) -> None:
        for turn, step in enumerate(self.steps):
            value, branch = 1 + self.number * 100 + turn, f"actor{self.number}_{turn}"
            if step == "write":
                put("main", self.number, value)
                self.landed.append(value)
                continue
            day = CONTESTED if step == "contest" else self.number
            refs.create(branch)
            put_apart(branch, day, value)
            if step == "drop":
                refs.drop(branch)
                continue
            try:
                refs.merge(branch)
            except MergeConflict:
                assert step == "contest", "days with one writer are brought together"
                refs.drop(branch)
            else:
                (self.contested if step == "contest" else self.landed).append(value)


View = dict[str, dict[int, list[int]]]


def scanned() -> View:
    with pins.hold_pin("main") as pin:
        return {name: found(name, pin) for name in TABLES}


def queried() -> View:
    """Return what DuckDB sees of all tables in one statement on a pinned connection."""
    union = " union all ".join(f"select '{name}', reading_id, value from {name}" for name in TABLES)
    view: View = {name: {} for name in TABLES}
    with duck.connect() as connection:
        for name, reading_id, value in connection.execute(union).fetchall():
            view[name].setdefault(int(reading_id.split("-")[0]), []).append(value)
    return {name: {day: sorted(values) for day, values in held.items()} for name, held in view.items()}


@dataclass
class Reader:
    """Reads main until it is told to stop; each view must be one that main had as a whole."""

    read: Callable[[], View]
    over: threading.Event
    views: list[View] = field(default_factory=list)

    def watch(self) -> None:
        while True:
            last = self.over.is_set()
            self.views.append(self.read())
            if last:
                return


def play(plan: list[list[str]]) -> None:
    for ref in reversed(refs.list_refs()[1:]):
        refs.drop(ref.name)
    whole = [Replacement(spec(name), rows({CONTESTED: [0]}), None) for name in TABLES]
    replace(whole, ref="main", run_id="start")
    over = threading.Event()
    actors = [Actor(number, steps) for number, steps in enumerate(plan)]
    readers = [Reader(scanned, over), Reader(queried, over)]
    with ThreadPoolExecutor(len(readers)) as watching, ThreadPoolExecutor(ACTORS) as acting:
        watched = [watching.submit(reader.watch) for reader in readers]
        try:
            for done in [acting.submit(actor.act) for actor in actors]:
                done.result()
        finally:
            over.set()
        for ended in watched:
            ended.result()
    for reader in readers:
        check_views(reader.views, actors)
    check_end(readers, actors)


def check_views(views: list[View], actors: list[Actor]) -> None:
    """Each view is whole, and none is older than the one before."""
    for view in views:
        first = view[TABLES[0]]
        assert all(view[name] == first for name in TABLES), "half a merge"
        assert all(len(values) == 1 for values in first.values())
    for actor in actors:
        seen = [view[TABLES[0]].get(actor.number, [0])[0] for view in views]
        assert set(seen) <= {0, *actor.landed}, "what was dropped or refused was never to be seen"
        assert seen == sorted(seen)


def check_end(readers: list[Reader], actors: list[Actor]) -> None:
    """What each actor landed last is there, and nothing is left behind."""
    contested = {0, *(value for actor in actors for value in actor.contested)}
    for reader in readers:
        held = reader.views[-1][TABLES[0]]
        own = {actor.number: actor.landed[-1:] for actor in actors if actor.landed}
        assert {day: values for day, values in held.items() if day != CONTESTED} == own, "a commit was lost"
        (value,) = held[CONTESTED]
        assert value in contested
        assert (value == 0) == (contested == {0})
    assert [ref.name for ref in refs.list_refs()] == ["main"]


def test_no_reader_sees_half_a_merge_and_no_commit_is_lost(home: Home) -> None:
    play([["write", "contest"], ["merge", "write"], ["contest", "drop"]])


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans)
def test_no_reader_sees_half_a_merge_in_many_interleavings(home: Home, plan: list[list[str]]) -> None:
    play(plan)
