"""Every defence that docs/security.md claims names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fault_suite import find_tests
from millpond.runtime.provisioning import ROLES

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
DEFENDED = PAGE.partition("## What is defended")[2].partition("\n## ")[0]
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DEFENDED.splitlines()
    if line.startswith("| ") and not line.startswith("| threat")
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0][:60])
def test_each_threat_has_a_defence_and_tests_that_exist(line: list[str]) -> None:
    threat, defence, tests = line
    assert threat
    assert defence
    named = re.findall(r"`([^`]+)`", tests)
    assert named
    assert [name for name in named if not find_tests(name)] == []


def test_the_page_has_every_role_of_postgres() -> None:
    assert len(LINES) > 15
    assert [role for role in ROLES if f"`{role}`" not in PAGE] == []
