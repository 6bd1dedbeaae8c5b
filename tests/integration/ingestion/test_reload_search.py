"""Whatever a source does between two loads, rows that are loaded go only where it says so, or not at all."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from typing import Any

import pytest

from fake_source import DAY, Entries, FakeSource, reading
from millpond.errors import RowsHeldBack
from millpond.ingestion.window import Shrink
from millpond.lake.held import list_held
from searches import seeds
from source_tables import load_days, raw

WEEK = 6
RULE = Shrink()
SIZES = (0, 1, 5, RULE.min_rows - 1, RULE.min_rows, 40, 90)
State = dict[dt.date, dict[str, int]]


def first_state(chance: random.Random, first: dt.date) -> State:
    """Return rows of each day of a week as the source has them first: keys and values."""
    days = [first + dt.timedelta(n) for n in range(WEEK)]
    return {
        day: {f"{day}/{n}": chance.randrange(60, 200) for n in range(chance.choice(SIZES))} for day in days
    }


def later_state(chance: random.Random, state: State) -> State:
    """Return the rows after a purge of the oldest days, an outage, late rows, corrections, or nothing."""
    kind = chance.choice(["same", "purged", "thinned", "emptied", "grown", "mixed"])
    purged = chance.randrange(WEEK + 1)
    later: State = {}
    for number, (day, rows) in enumerate(state.items()):
        now = kind if kind != "mixed" else chance.choice(["same", "thinned", "emptied", "grown"])
        kept = dict(rows)
        if (now == "purged" and number < purged) or (now == "emptied" and chance.random() < 0.5):
            kept = {}
        if now == "thinned":
            share = chance.random()
            kept = {key: value for key, value in rows.items() if chance.random() < share}
        if now == "grown":
            kept |= {f"{day}/late {n}": chance.randrange(60, 200) for n in range(chance.randrange(30))}
        later[day] = {k: chance.randrange(60, 200) if chance.random() < 0.05 else v for k, v in kept.items()}
    return later


def serve(server: FakeSource, state: State) -> None:
    rows: list[dict[str, Any]] = []
    for day, values in state.items():
        rows += [reading(n, day, _id=key, lux=value) for n, (key, value) in enumerate(values.items())]
    server.serve = Entries(rows)


def stored(days: Iterable[dt.date]) -> State:
    state: State = {day: {} for day in days}
    for day, key, value in zip(raw("_partition_date"), raw("_id"), raw("lux"), strict=True):
        if day in state:
            state[day][key] = value
    return state


def search(server: FakeSource, drawn: Iterable[int]) -> None:
    """Load a week, change the source, load it again: each day is the new one, or held and the old."""
    ended: set[str] = set()
    for number, seed in enumerate(drawn):
        chance = random.Random(seed)
        first = DAY - dt.timedelta(WEEK * (number + 1))
        before = first_state(chance, first)
        days = list(before)
        serve(server, before)
        assert not load_days(days[0], days[-1]).failed, seed
        assert stored(days) == before, seed
        after = later_state(chance, before)
        serve(server, after)
        result = load_days(days[0], days[-1])
        assert all(isinstance(error, RowsHeldBack) for error in result.failed.values()), seed
        assert {each.day for each in list_held() if each.day in before} == set(result.failed), seed
        now = stored(days)
        for day in days:
            kept = day in result.failed
            assert now[day] == (before if kept else after)[day], f"{seed}: {day}"
            few = len(after[day]) < RULE.hold_below * len(before[day])
            assert kept or not (few and len(before[day]) >= RULE.min_rows), f"{seed}: {day} lost rows"
            assert few or not kept, f"{seed}: {day} was held back without a reason"
            ended.add("held" if kept else "new" if after[day] != before[day] else "same")
            assert now[day] or not before[day], f"{seed}: {day} was emptied"
        lost = [day for day in days if len(now[day]) < RULE.hold_below * len(before[day])]
        taken = sum(len(before[day]) - len(now[day]) for day in lost)
        assert taken < RULE.min_rows, f"{seed}: {taken} rows of {lost} were lost"
    assert ended == {"held", "new", "same"}


def test_a_drawn_week_loaded_again_is_the_new_one_or_held_back_and_the_old(server: FakeSource) -> None:
    search(server, range(3))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_drawn_weeks_loaded_again_are_the_new_ones_or_held_back_and_the_old(server: FakeSource) -> None:
    search(server, seeds(40))
