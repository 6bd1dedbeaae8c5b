"""Random writes, branches and merges against a plain-Python model of what each ref must hold."""

from __future__ import annotations

import copy
from collections import Counter

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lake_readings import days, found, rows, spec
from millpond.errors import MergeConflict
from millpond.lake import read, refs
from millpond.lake.tables import Replacement, replace
from millpond.runtime.home import Home

_DAYS = 9
_TABLES = ("raw.readings", "silver.readings")
_ROWS = st.lists(st.lists(st.integers(0, 3), max_size=3).map(sorted), min_size=1, max_size=3)
"""The rows of one to three days in a row."""
_DAY = st.integers(0, _DAYS - 3)
_PICK = st.integers(0, 11)
OUTCOMES: Counter[str] = Counter()
"""How the merges of a run ended, lest a change of the steps leaves the interesting ones out."""
Tables = dict[str, dict[int, list[int]]]


class _Ref:
    """What a ref holds, the days each of its commits replaced, and how many it inherited."""

    def __init__(self, base: str | None, tables: Tables, log: list[tuple[str, set[int]]]) -> None:
        self.base, self.tables, self.log, self.inherited = base, tables, log, len(log)

    def changed(self, since: int, table: str) -> set[int]:
        return set().union(*(days for name, days in self.log[since:] if name == table))


class Lake(RuleBasedStateMachine):
    """The lake and its model, moved by the same random steps."""

    @initialize()
    def start(self) -> None:
        for ref in reversed(refs.list_refs()[1:]):
            refs.drop(ref.name)
        empty = [Replacement(spec(t), rows({}), None) for t in _TABLES if read.exists("main", t)]
        replace(empty, ref="main", run_id="reset")
        self.model = {"main": _Ref(None, {}, [])}
        self.made = 0

    @precondition(lambda self: len(self.model) < 4)
    @rule(pick=_PICK)
    def create(self, pick: int) -> None:
        self._branched(self._picked(sorted(self.model), pick))

    def _branched(self, base: str) -> str:
        self.made += 1
        name = f"branch{self.made}"
        refs.create(name, base=base)
        parent = self.model[base]
        self.model[name] = _Ref(base, copy.deepcopy(parent.tables), list(parent.log))
        return name

    @rule(pick=_PICK, first=_DAY, values=_ROWS, tables=st.sets(st.sampled_from(_TABLES), min_size=1))
    def write(self, pick: int, first: int, values: list[list[int]], tables: set[str]) -> None:
        self._write(self._picked(sorted(self.model), pick), first, values, tables)

    def _write(self, ref: str, first: int, values: list[list[int]], tables: set[str]) -> None:
        covered = set(range(first, first + len(values)))
        inside = {first + i: several for i, several in enumerate(values) if several}
        window = days(min(covered), max(covered))
        replacements = [Replacement(spec(t), rows(inside), window) for t in sorted(tables)]
        for result in replace(replacements, ref=ref, run_id="run"):
            held = self.model[ref].tables.setdefault(result.table, {})
            was = {n: v for n, v in held.items() if n in covered}
            assert result.rows == sum(map(len, inside.values()))
            if was != inside:
                assert result.changed
                self.model[ref].log.append((result.table, covered))
            for n in was:
                del held[n]
            held.update(copy.deepcopy(inside))
        self.check(ref)

    @rule(pick=_PICK, theirs=_DAY, ours=_DAY, values=_ROWS)
    def work_side_by_side(self, pick: int, theirs: int, ours: int, values: list[list[int]]) -> None:
        base = self._picked(sorted(self.model), pick)
        name = self._branched(base)
        for ref, first in ((name, theirs), (base, ours)):
            self._write(ref, first, values, {_TABLES[0]})
        self._merge(name)

    @precondition(lambda self: self._mergeable())
    @rule(pick=_PICK)
    def merge(self, pick: int) -> None:
        self._merge(self._picked(self._mergeable(), pick))

    def _merge(self, name: str) -> None:
        branch = self.model[name]
        base = self.model[branch.base or ""]
        touched = {t for t, _ in branch.log[branch.inherited :]}
        overlap = any(
            branch.changed(branch.inherited, t) & base.changed(branch.inherited, t) for t in touched
        )
        try:
            merged = refs.merge(name)
        except MergeConflict:
            assert overlap
            refs.drop(name)
            OUTCOMES["conflict"] += 1
        else:
            assert not overlap
            assert touched <= set(merged.tables)
            self._replay(branch, base)
            OUTCOMES["rebased" if merged.rebased else "moved"] += 1
        del self.model[name]
        self.check(branch.base or "")

    def _replay(self, branch: _Ref, base: _Ref) -> None:
        for table in branch.tables:
            held = base.tables.setdefault(table, {})
            for n in branch.changed(branch.inherited, table):
                held.pop(n, None)
                if n in branch.tables[table]:
                    held[n] = branch.tables[table][n]
        base.log += branch.log[branch.inherited :]

    def _mergeable(self) -> list[str]:
        kept = {"main", *(r.base for r in self.model.values())}
        return sorted(n for n, r in self.model.items() if n not in kept and len(r.log) > r.inherited)

    @staticmethod
    def _picked(names: list[str], pick: int) -> str:
        return names[pick % len(names)]

    def check(self, ref: str) -> None:
        for table, held in self.model[ref].tables.items():
            assert found(table, ref) == dict(sorted(held.items()))

    def teardown(self) -> None:
        for ref in getattr(self, "model", {}):
            self.check(ref)


def _run(examples: int, steps: int) -> None:
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate,),
    )
    OUTCOMES.clear()
    hypothesis.stateful.run_state_machine_as_test(Lake, settings=settings)
    assert min(OUTCOMES[outcome] for outcome in ("moved", "rebased", "conflict")) > 0, OUTCOMES


def test_random_steps_leave_what_the_model_says(home: Home) -> None:
    _run(examples=6, steps=12)


@pytest.mark.slow
def test_many_random_steps_leave_what_the_model_says(home: Home) -> None:
    _run(examples=25, steps=25)
