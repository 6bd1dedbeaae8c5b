"""Random writes, branches and merges against a plain-Python model of what each ref must hold."""

from __future__ import annotations

import copy
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from lake_readings import days, found, rows, spec
from millpond.errors import MergeConflict
from millpond.lake import read, refs
from millpond.lake.tables import Replacement, replace
from millpond.runtime.home import Home

_DAYS = 5
_TABLES = ("raw.readings", "silver.readings")
_ROWS = st.dictionaries(
    st.integers(0, _DAYS - 1), st.lists(st.integers(0, 3), min_size=1, max_size=3).map(sorted), max_size=3
)
_SPANS = st.tuples(st.integers(0, _DAYS - 1), st.integers(0, _DAYS - 1)).map(sorted)
Tables = dict[str, dict[int, list[int]]]


class _Ref:
    """What a ref holds, the days each of its commits replaced, and how many it inherited."""

    def __init__(self, base: str | None, tables: Tables, log: list[tuple[str, set[int]]]) -> None:
        self.base, self.tables, self.log, self.inherited = base, tables, log, len(log)

    def changed(self, since: int, table: str) -> set[int]:
        return set().union(*(days for name, days in self.log[since:] if name == table))


class Lake(RuleBasedStateMachine):
    """The lake and its model, moved by the same random steps."""

    branches: Bundle[str] = Bundle("branches")

    @initialize()
    def start(self) -> None:
        for ref in reversed(refs.list_refs()[1:]):
            refs.drop(ref.name)
        empty = [Replacement(spec(t), rows({}), None) for t in _TABLES if read.exists("main", t)]
        replace(empty, ref="main", run_id="reset")
        self.model = {"main": _Ref(None, {}, [])}
        self.made = 0

    @rule(target=branches, data=st.data())
    def create(self, data: Any) -> str:
        base = data.draw(st.sampled_from(sorted(self.model)))
        self.made += 1
        name = f"branch{self.made}"
        refs.create(name, base=base)
        parent = self.model[base]
        self.model[name] = _Ref(base, copy.deepcopy(parent.tables), list(parent.log))
        return name

    @rule(data=st.data(), values=_ROWS, span=_SPANS, tables=st.sets(st.sampled_from(_TABLES), min_size=1))
    def write(self, data: Any, values: dict[int, list[int]], span: list[int], tables: set[str]) -> None:
        ref = data.draw(st.sampled_from(sorted(self.model)))
        covered = set(range(span[0], span[1] + 1))
        inside = {n: v for n, v in values.items() if n in covered}
        replacements = [Replacement(spec(t), rows(inside), days(*span)) for t in sorted(tables)]
        written = replace(replacements, ref=ref, run_id="run")
        for table, result in zip(sorted(tables), written, strict=True):
            held = self.model[ref].tables.setdefault(table, {})
            was = {n: v for n, v in held.items() if n in covered}
            assert result.rows == sum(map(len, inside.values()))
            if was != inside:
                assert result.changed
                self.model[ref].log.append((table, covered))
            for n in was:
                del held[n]
            held.update(copy.deepcopy(inside))
        self.check(ref)

    @rule(name=consumes(branches))
    def merge(self, name: str) -> None:
        if name not in self.model or any(r.base == name for r in self.model.values()):
            return
        branch = self.model[name]
        base = self.model[branch.base or ""]
        touched = {t for t, _ in branch.log[branch.inherited :]}
        overlap = any(
            branch.changed(branch.inherited, t) & base.changed(branch.inherited, t) for t in touched
        )
        try:
            refs.merge(name)
        except MergeConflict:
            assert overlap
            refs.drop(name)
        else:
            assert not overlap
            for table in branch.tables:
                held = base.tables.setdefault(table, {})
                for n in branch.changed(branch.inherited, table):
                    held.pop(n, None)
                    if n in branch.tables[table]:
                        held[n] = branch.tables[table][n]
            base.log += branch.log[branch.inherited :]
        del self.model[name]
        self.check(branch.base or "")

    @rule(name=consumes(branches))
    def drop(self, name: str) -> None:
        if name in self.model and not any(r.base == name for r in self.model.values()):
            refs.drop(name)
            del self.model[name]

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
    hypothesis.stateful.run_state_machine_as_test(Lake, settings=settings)


def test_random_steps_leave_what_the_model_says(home: Home) -> None:
    _run(examples=6, steps=15)


@pytest.mark.slow
def test_many_random_steps_leave_what_the_model_says(home: Home) -> None:
    _run(examples=60, steps=30)
