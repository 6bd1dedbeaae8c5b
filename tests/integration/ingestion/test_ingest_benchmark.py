"""The benchmark of loads works, so that its figures can be taken at any time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_the_benchmark_of_loads_prints_what_each_side_takes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "ingest.py"), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = re.findall(r"^\w+$", done.stdout, re.MULTILINE)
    assert cases == ["postgres", "sqlite", "csv", "parquet", "api"]
    assert len(re.findall(r"CPU +[\d.]+ .* a load takes +[\d.]+ ", done.stdout)) == 8
