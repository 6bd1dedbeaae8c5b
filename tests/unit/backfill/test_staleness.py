"""Which partitions are stale: exactly those that would come out otherwise, or whose inputs might."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from millpond.backfill.plan import Item, State
from millpond.backfill.staleness import FailedAttempt, Node, Recorded, Requested, evaluate_partitions
from millpond.instance.provenance import Edge
from millpond.instance.record import Day, LatestMaterialization

UTC = ZoneInfo("UTC")
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAYS = [dt.date(2026, 3, 1) + dt.timedelta(days=n) for n in range(6)]
LATER = dt.datetime(2026, 5, 1)
RAW, STG = Node("raw", True), Node("stg", True, "1", (Edge("raw", 0),))
FCT = Node("fct", True, "1", (Edge("calendar", None), Edge("stg", 1)))
CALENDAR, MRT = Node("calendar", False, "1"), Node("mrt", False, "1", (Edge("fct", None),))
MART = Node("marts/mrt", False, None, (Edge("mrt", None),))
NODES = (CALENDAR, RAW, STG, FCT, MRT, MART)


class Lake:
    """A platform in miniature: runs what a plan says and records it as the real one does."""

    def __init__(self) -> None:
        self.source: dict[dt.date, int] = dict.fromkeys(DAYS, 10)
        self.nodes = {node.name: node for node in NODES}
        self.made: dict[str, dict[Day, LatestMaterialization]] = {name: {} for name in self.nodes}
        self.failed: dict[str, dict[Day, FailedAttempt]] = {}
        self._events = 0

    def versions(self, name: str) -> dict[Day, str]:
        return {day: one.version for day, one in self.made[name].items()}

    def computed(self, name: str, day: Day) -> str:
        """Return what the asset would come out as: coarse, so that changes may vanish on the way."""
        node = self.nodes[name]
        if name == "raw":
            assert day
            return str(self.source[day])
        total = int(node.code or 0)
        for edge in node.edges:
            of_parent = self.versions(edge.parent)
            wanted: list[Day] = [*edge.days(day)] if edge.look_back is not None else [*of_parent]
            total += sum(int(of_parent.get(one, 0)) for one in wanted)
        return str(total // 2)

    def run(self, name: str, day: Day) -> None:
        node, self._events = self.nodes[name], self._events + 1
        inputs = [f"{e.parent}={e.version(self.versions(e.parent), day)}" for e in node.edges]
        version = self.computed(name, day)
        self.made[name][day] = LatestMaterialization(
            self._events, LATER, version, node.code or "", "\n".join(inputs)
        )

    def plan(self, *assets: str, days: list[dt.date] = DAYS, **more: Any) -> list[Item]:
        asked = Requested(frozenset(assets or self.nodes), days, **more)
        nodes = [self.nodes[node.name] for node in NODES]
        return list(evaluate_partitions(nodes, Recorded(self.made, self.failed), asked, NOW, UTC))

    def do(self, items: list[Item]) -> None:
        for item in items:
            if item.todo:
                self.run(item.asset, item.partition)

    def change(self, name: str, **changes: Any) -> None:
        self.nodes[name] = replace(self.nodes[name], **changes)


def loaded() -> Lake:
    lake = Lake()
    lake.do(lake.plan())
    return lake


def in_state(items: list[Item], state: State) -> Mapping[tuple[str, Day], str]:
    return {(item.asset, item.partition): item.reason for item in items if item.state is state}


def test_what_was_just_made_is_fresh() -> None:
    assert {item.state for item in loaded().plan()} == {State.FRESH}


changes = st.lists(
    st.one_of(
        st.tuples(st.just("source"), st.sampled_from(DAYS), st.integers(0, 20)),
        st.tuples(st.just("load"), st.sampled_from(DAYS), st.none()),
        st.tuples(st.just("code"), st.sampled_from(["stg", "fct", "mrt", "calendar"]), st.integers(1, 3)),
        st.tuples(st.just("run"), st.sampled_from(["stg", "fct"]), st.sampled_from(DAYS)),
        st.tuples(st.just("backfill"), st.sampled_from(["stg", "fct", "mrt"]), st.none()),
    ),
    max_size=12,
)


@given(changes)
def test_after_a_backfill_everything_is_as_if_made_anew_and_nothing_is_stale(steps: list[Any]) -> None:
    lake = loaded()
    for kind, what, more in steps:
        if kind == "source":
            lake.source[what] = more
        elif kind == "load":
            lake.run("raw", what)
        elif kind == "code":
            lake.change(what, code=str(more))
        elif kind == "run":
            lake.run(what, more)
        else:
            lake.do(lake.plan(what))
    items = lake.plan()
    for item in items:
        if item.state is State.FRESH and item.asset != "raw":
            version = lake.made[item.asset][item.partition].version
            assert version == lake.computed(item.asset, item.partition), "fresh means equal to a new one"
    lake.do(items)
    for name, of_days in lake.made.items():
        for day, made in of_days.items():
            if name != "raw":
                assert made.version == lake.computed(name, day)
    assert not [item for item in lake.plan() if item.todo]


def test_a_changed_source_day_reaches_the_day_after_where_a_model_looks_back() -> None:
    lake = loaded()
    lake.source[DAYS[2]] = 20
    lake.run("raw", DAYS[2])
    stale = in_state(lake.plan(), State.STALE)
    assert stale == {
        ("stg", DAYS[2]): f"raw of {DAYS[2]} changed",
        ("fct", DAYS[2]): f"stg of {DAYS[2]} will be rebuilt",
        ("fct", DAYS[3]): f"stg of {DAYS[2]} will be rebuilt",
        ("mrt", None): f"fct will be rebuilt for 2 days from {DAYS[2]} to {DAYS[3]}",
        ("marts/mrt", None): "mrt will be rebuilt",
    }


def test_a_day_that_came_out_the_same_leaves_what_is_downstream_fresh() -> None:
    lake = loaded()
    lake.source[DAYS[2]] = 9  # which vanishes in stg
    lake.run("raw", DAYS[2])
    assert ("stg", DAYS[2]) in in_state(lake.plan(), State.STALE)
    lake.run("stg", DAYS[2])
    assert in_state(lake.plan(), State.STALE) == {}


def test_new_code_makes_its_own_days_stale_and_those_downstream_only() -> None:
    lake = loaded()
    lake.change("fct", code="2")
    stale = in_state(lake.plan(), State.STALE)
    assert {asset for asset, _ in stale} == {"fct", "mrt", "marts/mrt"}
    assert [stale["fct", day] for day in DAYS] == ["its code changed"] * len(DAYS)


def test_a_changed_calendar_makes_the_days_stale_that_read_it() -> None:
    lake = loaded()
    lake.change("calendar", code="3")
    stale = in_state(lake.plan(), State.STALE)
    assert {asset for asset, _ in stale} == {"calendar", "fct", "mrt", "marts/mrt"}


def test_what_is_not_selected_is_not_waited_for() -> None:
    lake = loaded()
    lake.run("raw", DAYS[0])
    lake.source[DAYS[0]] = 20
    lake.run("raw", DAYS[0])
    assert in_state(lake.plan("fct"), State.STALE) == {}, "stg of that day is as fct knows it"


def test_a_failure_after_the_last_success_is_told() -> None:
    lake = loaded()
    lake.failed["stg"] = {DAYS[1]: FailedAttempt("AuditFailed")}
    assert in_state(lake.plan(), State.FAILED) == {("stg", DAYS[1]): "the last attempt failed: AuditFailed"}


def test_stale_only_leaves_out_what_was_never_made() -> None:
    lake = loaded()
    del lake.made["raw"][DAYS[4]], lake.made["stg"][DAYS[4]], lake.made["fct"][DAYS[4]]
    lake.change("stg", code="2")
    todo = {(item.asset, item.partition) for item in lake.plan(stale_only=True) if item.todo}
    assert ("stg", DAYS[0]) in todo
    assert not {("raw", DAYS[4]), ("stg", DAYS[4]), ("fct", DAYS[4])} & todo


def test_force_takes_fresh_ones_too_and_says_that_they_are_fresh() -> None:
    items = loaded().plan(force=True)
    assert all(item.todo and item.state is State.FRESH for item in items)


def test_a_day_loaded_before_its_end_is_stale() -> None:
    lake = loaded()
    lake.made["raw"][DAYS[0]] = lake.made["raw"][DAYS[0]]._replace(unfinished=True)
    evening = dt.datetime.combine(DAYS[1], dt.time(23, 59))
    lake.made["raw"][DAYS[1]] = lake.made["raw"][DAYS[1]]._replace(at=evening)
    stale = in_state(lake.plan("raw"), State.STALE)
    assert stale == dict.fromkeys([("raw", day) for day in DAYS[:2]], "loaded before the day ended")


def test_days_beyond_reach_are_left_out_with_what_depends_on_them_alone() -> None:
    lake = Lake()
    lake.change("raw", reach_days=(NOW.date() - DAYS[2]).days)
    items = lake.plan()
    gone = set(in_state(items, State.UNREACHABLE))
    assert gone == {(asset, day) for asset in ("raw", "stg", "fct") for day in DAYS[:2]}
    assert {item.asset for item in items if item.todo} == set(lake.nodes)


def test_a_day_that_was_loaded_while_it_could_be_stays_fresh_even_when_forced() -> None:
    lake = loaded()
    lake.change("raw", reach_days=1)
    assert {item.state for item in lake.plan()} == {State.FRESH}
    forced = lake.plan(force=True)
    assert {item.asset for item in forced if not item.todo} == {"raw"}
    assert in_state(forced, State.UNREACHABLE) == {}


def test_a_day_that_the_source_refused_as_beyond_reach_is_not_asked_for_again() -> None:
    lake = loaded()
    del lake.made["raw"][DAYS[0]]
    del lake.made["stg"][DAYS[0]]
    lake.failed["raw"] = {day: FailedAttempt("BeyondReach", gone=True) for day in DAYS[:2]}
    gone = in_state(lake.plan(), State.UNREACHABLE)
    assert ("raw", DAYS[0]) in gone
    assert ("stg", DAYS[0]) in gone
    assert ("raw", DAYS[1]) not in gone, "it is there from before"


def test_nothing_runs_where_nothing_can_be_had() -> None:
    lake = Lake()
    lake.change("raw", reach_days=1)
    items = lake.plan()
    assert {item.asset for item in items if item.todo} == {"calendar"}
    assert ("marts/mrt", None) in in_state(items, State.UNREACHABLE)
