"""The faults of docs/faults.md and their tests; run as a program, it causes them and prints what was seen."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from textwrap import wrap

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"
ELSEWHERE = {
    "scale": "make test-faults FAULTS=scale",
    "docker": "make test-docker",
    "browser": "make test-slow",
}
"""Kinds of tests that need servers of their own, and what runs them."""
FORMS = {"quick": "not slow", "slow": "not exhaustive", "full": "", "scale": "scale"}
"""What `make test-faults FAULTS=…` chooses."""


@dataclass(frozen=True)
class Fault:
    """A line of the page; `tests` are files below tests/, or tests in them."""

    kind: str
    name: str
    expected: str
    tests: tuple[str, ...]

    def covers(self, test: str) -> bool:
        """Return whether a test, by its id below tests/, is one of this fault's."""
        return any(test == own or re.match(rf"{re.escape(own)}(::|\[)", test) for own in self.tests)


@dataclass
class Seen:
    """What the tests of one fault came to."""

    outcomes: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return any(outcome != "passed" for outcome in self.outcomes.values())


def read_faults() -> list[Fault]:
    """Return the lines of the page's tables."""
    kind, found = "", []
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 3 and cells[0] != "fault":
            found.append(Fault(kind, cells[0], cells[1], tuple(re.findall(r"`([^`]+)`", cells[2]))))
    return found


@cache
def list_tests(file: str) -> dict[str, frozenset[str]]:
    """Return the tests of a file below tests/, with the markers that it gives them."""
    place = file.partition("/")[0]
    tree = ast.parse((TESTS / file).read_text())
    return dict(_list_tests(tree.body, file, frozenset({place} & ELSEWHERE.keys())))


def find_tests(name: str) -> dict[str, frozenset[str]]:
    """Return the tests that a name of the page stands for; none if there is no such file or test."""
    file = name.partition("::")[0]
    if not (TESTS / file).is_file():
        return {}
    return {test: marks for test, marks in list_tests(file).items() if f"{test}::".startswith(f"{name}::")}


def _list_tests(
    body: list[ast.stmt], prefix: str, marks: frozenset[str]
) -> Iterator[tuple[str, frozenset[str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _list_tests(node.body, f"{prefix}::{node.name}", marks | _read_marks(node))
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield f"{prefix}::{node.name}", marks | _read_marks(node)


def _read_marks(node: ast.ClassDef | ast.FunctionDef) -> frozenset[str]:
    return frozenset(
        found
        for one in node.decorator_list
        for found in re.findall(r"^pytest\.mark\.(\w+)", ast.unparse(one))
    )


class Report:
    """Collects what each test came to, and prints it by fault when all are over."""

    def __init__(self, faults: list[Fault]) -> None:
        self.seen: dict[Fault, Seen] = {fault: Seen() for fault in faults}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of a test's part, and the figures that the test recorded."""
        test = report.nodeid.removeprefix("tests/")
        for fault, seen in self.seen.items():
            if not fault.covers(test):
                continue
            if report.when == "call" or report.outcome != "passed":
                seen.outcomes[test] = report.outcome
            if report.failed:
                seen.told.append(f"{test.rpartition('::')[2]}: {_last_line(report)}")
            if report.when == "call":
                seen.told += [str(value) for name, value in report.user_properties if name == "seen"]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print fault, expected, seen."""
        width = (shutil.get_terminal_size((150, 24)).columns - 6) // 3
        write, last = terminalreporter.write_line, ""
        by_kind: dict[str, list[Fault]] = defaultdict(list)
        for fault in self.seen:
            by_kind[fault.kind].append(fault)
        for kind, faults in by_kind.items():
            write("")
            write(_line(width, kind.upper(), "expected" if not last else "", "seen" if not last else ""))
            last = kind
            for fault in faults:
                columns = [wrap(text, width) for text in (fault.name, fault.expected, self.describe(fault))]
                for row in range(max(map(len, columns))):
                    write(_line(width, *(c[row] if row < len(c) else "" for c in columns)))
        run = [seen for seen in self.seen.values() if seen.outcomes]
        failed = sum(seen.failed for seen in run)
        write("")
        left = len(self.seen) - len(run)
        write(
            f"{len(self.seen)} faults: {len(run) - failed} as expected, {failed} not, {left} not caused here"
        )

    def describe(self, fault: Fault) -> str:
        """Return in a few words what was seen of a fault."""
        seen = self.seen[fault]
        if not seen.outcomes:
            return f"not caused here: {_find_command(fault)} does"
        head = "NOT AS EXPECTED" if seen.failed else f"as expected in {_count(len(seen.outcomes), 'test')}"
        return "; ".join([head, *dict.fromkeys(seen.told)])


def _find_command(fault: Fault) -> str:
    marks = frozenset().union(*(marks for name in fault.tests for marks in find_tests(name).values()))
    for mark, command in ELSEWHERE.items():
        if mark in marks:
            return command
    return f"make test-faults FAULTS={'full' if 'exhaustive' in marks else 'slow'}"


def _last_line(report: pytest.TestReport) -> str:
    lines = [line[4:] for line in report.longreprtext.splitlines() if line.startswith("E   ")]
    return (lines or [report.outcome])[0][:200]


def _line(width: int, *texts: str) -> str:
    return " | ".join(text.ljust(width) for text in texts).rstrip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def main(form: str, *options: str) -> int:
    """Cause the faults of one form; options are pytest's. Return 0 if all went as expected."""
    faults = read_faults()
    if missing := [
        f"{f.name}: {t or 'no test'}" for f in faults for t in f.tests or [""] if not find_tests(t)
    ]:
        print("a fault of docs/faults.md has no such test:", *missing, sep="\n  ")
        return 1
    chosen = " and ".join(
        [*filter(None, [FORMS[form]]), *(f"not {mark}" for mark in ELSEWHERE if mark != form)]
    )
    every = dict.fromkeys(test for f in faults for name in f.tests for test in find_tests(name))
    files = dict.fromkeys(f"{TESTS.name}/{test}" for test in every)
    return int(pytest.main(["-q", "-m", chosen, *options, *files], plugins=[Report(faults)]))


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or ["quick"])))
