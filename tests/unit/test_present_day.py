"""A test that needs the present day sets its clock, or asks for the day once: no midnight passes between."""

from __future__ import annotations

import re
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_ASKS = re.compile(
    r"latest_complete_day\(|(?<!def )\btoday\(|\.now\([^)]*\)\.(?:date|replace)\(|date\.today\("
)
_SETS = re.compile(r'"clock"|time_machine')
_ONCE = {
    "browser/served_days.py",
    "example/test_documented_commands.py",
    "faults/test_full_disk.py",
    "faults/test_killed_schedule.py",
    "forecast/test_documented_forecast.py",
    "integration/cli/test_branch_commands.py",
    "integration/dashboard/test_page_states.py",
    "scale/parity/raw_days.py",
    "scale/test_backfill_on_trino.py",
    "scale/test_nessie.py",
    "scale/test_scale_faults.py",
}
"""Files whose tests run long or with servers; each asks for the day once and names it from then on."""


def test_a_file_that_asks_for_the_present_day_sets_the_clock_or_asks_once() -> None:
    texts = {str(file.relative_to(_TESTS)): file.read_text() for file in _TESTS.rglob("*.py")}
    asking = {name: text for name, text in texts.items() if _ASKS.search(text)}
    assert len(asking) > len(_ONCE)
    assert {name for name, text in asking.items() if not _SETS.search(text)} == _ONCE
    assert {name: len(_ASKS.findall(texts[name])) for name in _ONCE} == dict.fromkeys(_ONCE, 1)
