"""Random histories of branches against a model: main has what passed its audit alone, and commits whole."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from lake_readings import days, found, rows, spec
from millpond.cli.main import app
from millpond.errors import MergeConflict, RefRefused
from millpond.lake import read, refs
from millpond.lake.history import plan_undo, undo
from millpond.lake.ref_log import list_commits
from millpond.lake.tables import Replacement, replace
from millpond.runtime.home import Home

SHARES = ((0, 1), (1, 2), (0, 1, 2), (2,))
"""Which of three tables a commit writes."""
STEPS = ("write", "branch", "fork", "build", "build", "fail", "merge", "merge", "undo", "undo", "drop")
plans = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 7), st.sampled_from(SHARES)), min_size=4, max_size=16
)
Plan = list[tuple[str, int, tuple[int, ...]]]
State = dict[str, frozenset[int]]
_numbers = itertools.count()


@dataclass
class Branch:
    """What the model knows of a branch: its base, what days it wrote where, whether its audit failed."""

    base: str
    wrote: dict[int, tuple[int, ...]] = field(default_factory=dict)
    failed: bool = False


class Model:
    """Tables as sets of days; each commit writes a day of its own to several tables."""

    def __init__(self) -> None:
        self.id = next(_numbers)
        self.tables = [f"silver.h{self.id}_{n}" for n in range(3)]
        self.states: list[State] = [dict.fromkeys(self.tables, frozenset())]
        self.commits: list[tuple[str, frozenset[str]]] = []
        self.branches: dict[str, Branch] = {}
        self.written: dict[int, tuple[int, ...]] = {}
        self.unaudited: set[int] = set()
        self.refused = 0

    def step(self, step: str, choice: int, share: tuple[int, ...]) -> None:
        names = sorted(self.branches)
        name = names[choice % len(names)] if names else ""
        match step:
            case "write":
                day = self.put("main", share)
                self.note({n: self.states[-1][self.tables[n]] | {day} for n in share})
            case "branch":
                self.create("main")
            case "fork" if names:
                self.create(name)
            case "build" if names:
                day = self.put(name, share, apart=True)
                self.branches[name].wrote[day] = share
            case "fail" if names:
                refs.keep(name, "not_null failed")
                self.branches[name].failed = True
                self.unaudited |= self.branches[name].wrote.keys()
            case "merge" if names:
                self.merge(name)
            case "undo" if self.commits:
                self.undo(choice % len(self.commits))
            case "drop" if names:
                self.drop(name)

    def put(self, ref: str, share: tuple[int, ...], *, apart: bool = False) -> int:
        day = len(self.written)
        self.written[day] = share
        moves = [
            Replacement(spec(self.tables[n], grain="day"), rows({day: [day]}), days(day, day)) for n in share
        ]
        for part in [[move] for move in moves] if apart else [moves]:
            replace(part, ref=ref, run_id="run")
        return day

    def create(self, base: str) -> None:
        name = f"h{self.id}_{next(_numbers)}"
        refs.create(name, base)
        self.branches[name] = Branch(base)

    def merge(self, name: str) -> None:
        branch = self.branches[name]
        if branch.failed:
            said = CliRunner().invoke(app, ["branch", "merge", name])
            assert "failed its audit" in str(said.exception), said.output
            self.refused += 1
            return
        above = [other for other, b in self.branches.items() if b.base == name]
        try:
            merged = refs.merge(name)
        except (MergeConflict, RefRefused):
            self.refused += 1
            return
        assert merged.into == branch.base
        assert all(self.branches[other].failed for other in above)
        if branch.base == "main":
            if branch.wrote:
                tables = {n for share in branch.wrote.values() for n in share}
                self.note(
                    {
                        n: self.states[-1][self.tables[n]] | {d for d, s in branch.wrote.items() if n in s}
                        for n in tables
                    }
                )
        else:
            self.branches[branch.base].wrote |= branch.wrote
            if self.branches[branch.base].failed:
                self.unaudited |= branch.wrote.keys()
        self.forget(name)

    def undo(self, choice: int) -> None:
        commit, tables = self.commits[choice]
        undone, back = set(tables), {t: self.states[choice][t] for t in tables}
        for number in range(choice + 1, len(self.commits)):
            if undone & self.commits[number][1]:
                for table in self.commits[number][1] - undone:
                    back[table] = self.states[number][table]
                undone |= self.commits[number][1]
        plan = plan_undo("main", commit, with_later=True)
        if not plan.moves:
            return
        undo(plan)
        self.note({self.tables.index(t): days for t, days in back.items()}, {m.table for m in plan.moves})

    def drop(self, name: str) -> None:
        try:
            refs.drop(name)
        except RefRefused:
            self.refused += 1
        else:
            self.forget(name)

    def forget(self, name: str) -> None:
        del self.branches[name]
        for other in [o for o, b in self.branches.items() if b.base == name]:
            self.forget(other)

    def note(self, changed: dict[int, frozenset[int]], moved: set[str] | None = None) -> None:
        state = self.states[-1] | {self.tables[n]: days for n, days in changed.items()}
        tables = frozenset(moved or (self.tables[n] for n in changed))
        newest = list_commits("main", limit=1)[0]
        assert set(newest.tables) == tables
        self.states.append(state)
        self.commits.append((newest.id, tables))

    def check(self) -> None:
        """Compare main with the model; and, by its rows alone, whether commits are there whole."""
        there = set(read.list_tables("main"))
        held = {t: frozenset(found(t)) if t in there else frozenset() for t in self.tables}
        assert held == self.states[-1]
        for day, share in self.written.items():
            present = {day in held[self.tables[n]] for n in share}
            assert len(present) == 1, f"day {day} is in some of the tables it was committed to"
            assert present == {False} or day not in self.unaudited

    def clear(self) -> None:
        while self.branches:
            for name in sorted(self.branches, reverse=True):
                if not any(b.base == name for b in self.branches.values()):
                    refs.drop(name)
                    del self.branches[name]


def play(plan: Plan) -> Model:
    model = Model()
    try:
        for step in plan:
            model.step(*step)
            model.check()
    finally:
        model.clear()
    return model


FORKED_FROM_A_FAILURE: Plan = [
    ("write", 0, (0, 1, 2)),
    ("branch", 0, (0,)),
    ("build", 0, (0, 1, 2)),
    ("fail", 0, (0,)),
    ("fork", 0, (0,)),
    ("build", 1, (0, 1)),
    ("merge", 1, (0,)),
    ("merge", 0, (0,)),
    ("undo", 0, (0,)),
    ("undo", 1, (0,)),
]
UNDONE_UNDER_A_BRANCH: Plan = [
    ("write", 0, (0, 1, 2)),
    ("write", 0, (0, 1)),
    ("branch", 0, (0,)),
    ("build", 0, (1, 2)),
    ("undo", 1, (0,)),
    ("merge", 0, (0,)),
    ("write", 0, (1, 2)),
    ("merge", 0, (0,)),
    ("undo", 2, (0,)),
    ("merge", 0, (0,)),
]


@pytest.mark.parametrize("plan", [FORKED_FROM_A_FAILURE, UNDONE_UNDER_A_BRANCH])
def test_main_has_what_passed_its_audit_alone_and_commits_whole(home: Home, plan: Plan) -> None:
    assert play(plan).refused


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans)
@example(FORKED_FROM_A_FAILURE)
def test_main_has_what_passed_its_audit_alone_and_commits_whole_in_many_histories(
    home: Home, plan: Plan
) -> None:
    play(plan)
