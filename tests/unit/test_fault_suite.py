"""Every fault of docs/faults.md has tests that exist, and every test of tests/faults has its line there."""

from __future__ import annotations

import pytest

from fault_suite import ELSEWHERE, TESTS, Fault, Report, find_tests, list_tests, read_faults

FAULTS = read_faults()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_has_an_expected_result_and_tests_that_exist(fault: Fault) -> None:
    assert fault.expected
    assert fault.tests
    assert [name for name in fault.tests if not find_tests(name)] == []


def test_each_fault_has_one_line() -> None:
    names = [(fault.kind, fault.name) for fault in FAULTS]
    assert len(names) == len({*names})


def test_each_test_of_the_fault_suite_is_in_a_line_of_the_page() -> None:
    tests = [test for file in TESTS.glob("faults/test_*.py") for test in list_tests(f"faults/{file.name}")]
    assert [test for test in tests if not any(fault.covers(test) for fault in FAULTS)] == []


def test_tests_that_need_servers_of_their_own_are_known_by_their_folder_or_their_mark() -> None:
    marked = {
        mark
        for fault in FAULTS
        for name in fault.tests
        for marks in find_tests(name).values()
        for mark in marks & ELSEWHERE.keys()
    }
    assert marked == ELSEWHERE.keys()


def test_what_was_seen_of_a_fault_is_its_tests_outcome_and_the_figures_they_recorded() -> None:
    fault, other = FAULTS[:2]
    name, *_ = find_tests(fault.tests[0])

    def report(outcome: str, **more: object) -> pytest.TestReport:
        return pytest.TestReport(
            f"tests/{name}[case]", ("", 0, ""), {}, outcome, more.pop("longrepr", None), "call", **more
        )

    seen = Report([fault, other])
    seen.pytest_runtest_logreport(report("passed", user_properties=[("seen", "10 kills, 0 rows lost")]))
    assert seen.describe(fault) == "as expected in 1 test; 10 kills, 0 rows lost"
    assert seen.describe(other).startswith("not caused here: make test-faults FAULTS=")
    seen.pytest_runtest_logreport(report("failed", longrepr="E   AssertionError: 3 rows"))
    assert seen.describe(fault).startswith("NOT AS EXPECTED")
    assert seen.describe(fault).endswith("[case]: AssertionError: 3 rows")
