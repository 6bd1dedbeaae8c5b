"""What a home weighs stops growing once its ages of retention are reached: the benchmarks in short."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millpond.runtime.home import Home
from millpond.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

BENCH = Path(__file__).parents[2] / "bench"
AGES = {"SNAPSHOT_RETENTION_DAYS": "0.5", "SNAPSHOT_DAILY_RETENTION_DAYS": "1", "EVENT_RETENTION_DAYS": "1"}
IN_A_DAY = 3
"""Cycles of the soak: every eight hours."""


def test_days_of_loads_builds_alerts_and_nights_leave_the_process_the_tables_and_the_home_as_large(
    tmp_path: Path,
) -> None:
    figures = tmp_path / "soak.json"
    given = [f"--cycles={6 * IN_A_DAY}", "--hours=8", f"--out={figures}", f"--plot={tmp_path / 'soak.svg'}"]
    done = subprocess.run(
        [sys.executable, str(BENCH / "soak.py"), *given],
        env={**os.environ, **{f"MILLPOND_{name}": value for name, value in AGES.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    found = json.loads(figures.read_text())
    assert found["alerts"] > 6, "at least that of each day's bad rows"
    before, after = found["cycles"][3 * IN_A_DAY : 4 * IN_A_DAY], found["cycles"][-IN_A_DAY:]

    def grown(name: str) -> Any:
        """Return how much more there is after two days, at the same hours of the day."""
        return max(cycle[name] for cycle in after) - max(cycle[name] for cycle in before)

    assert grown("descriptors") <= 1
    assert grown("connections") <= 1
    assert grown("other_files") == 0
    assert grown("memory_mb") < 50
    assert max(cycle["metadata_kb"] for cycle in after) < 12
    written = found["cycles"][1]["files"] - found["cycles"][0]["files"]
    assert grown("files") < 2 * written, "two days leave what two of their six cycles wrote"


def test_a_table_of_many_commits_has_as_many_versions_and_files_as_one_of_fewer(
    home: Home, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    import retention

    configure(
        snapshot_retention_days=1,
        snapshot_retention_count=10,
        snapshot_daily_retention_days=5,
        orphan_retention_days=1,
    )
    monkeypatch.setattr(retention, "STEPS", (80, 120))
    first, second, third = retention.grow(160, hours=6)
    assert (first["commits"], third["commits"]) == (80, 160)
    for figure, most in (("snapshots", 17), ("metadata_kb", 25)):
        assert max(step[figure] for step in (first, second, third)) <= most
    assert third["snapshots"] <= first["snapshots"] + 1
    assert third["metadata_kb"] < 1.1 * first["metadata_kb"]
    assert third["files"] < 1.2 * first["files"]
