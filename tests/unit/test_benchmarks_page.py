"""The page of benchmarks shows what the programs of `bench/` recorded."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks"
BENCH = ROOT / "bench"
PRINT = "import json, suite; print(json.dumps([suite.describe_all(), list(suite.read_results())]))"


def describe_results() -> tuple[str, list[str]]:
    """Return the page that the recorded results make, and their names."""
    command = [sys.executable, "-c", PRINT]
    done = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, check=True)
    page, names = json.loads(done.stdout)
    return page, names


def test_the_page_is_made_of_the_recorded_results_and_each_has_its_plot() -> None:
    page, names = describe_results()
    assert (PAGE / "README.md").read_text() == page, "write it again: python bench/suite.py --page"
    assert [name for name in names if not (PAGE / f"{name}.svg").read_text().startswith("<svg")] == []


def test_what_a_person_waits_for_is_measured_and_recorded() -> None:
    found = set(describe_results()[1])
    assert found >= {"commands", "launch", "rerun", "publish", "transform", "ingest", "growth"}
    assert found >= {"commit", "backfill"}


def test_each_program_names_its_options_in_its_first_lines() -> None:
    missing = []
    for file in sorted(BENCH.glob("*.py")):
        code = file.read_text()
        options = re.findall(r'add_argument\(\s*"(--[a-z-]+)"(?!, help=argparse.SUPPRESS)', code)
        first_lines = ast.get_docstring(ast.parse(code)) or ""
        missing += [f"{file.name} {name}" for name in options if f"[{name}" not in first_lines]
    assert missing == []


@pytest.mark.parametrize("program", ["rerun", "growth"])
def test_a_wrong_value_is_refused_also_where_it_would_not_be_used(program: str) -> None:
    command = [sys.executable, f"{program}.py", "--days", "abc", "--quick"]
    done = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "argument --days: invalid numbers value: 'abc'" in done.stderr
