"""A dbt project that does not parse stops what builds its models, and nothing else."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.lake import read
from millpond.partitions import Window
from millpond.runtime.home import Home
from millpond.settings import Settings, process_environment, settings
from millpond.transform.manifest import load_project, load_project_or_last

DAY = dt.date(2026, 10, 5)


@pytest.fixture
def broken(home: Home, configure: Callable[..., Settings], tmp_path: Path) -> Path:
    """A copy of the project that parsed, then got a model that does not; returns dbt's folder."""
    original = settings().project
    shutil.copytree(original / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    for name in (".env", "sources", "dagster.yaml", "workspace.yaml", "alerts.yaml", "waits.yaml"):
        (tmp_path / name).symlink_to(original / name)
    load_project(configure(project=tmp_path))
    (tmp_path / "dbt/models/silver/half.sql").write_text("select {{ ref('dim_date')")
    return tmp_path / "dbt"


@pytest.mark.slow
def test_raw_assets_are_loaded_and_a_model_fails_with_dbts_words_naming_the_file(broken: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "millpond.cli.main", "materialize"),
            *("dlt_climate_entries,stg_climate_entries", "--partition", str(DAY)),
        ],
        env=process_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "✓ dlt_climate_entries" in done.stdout
    assert "✗ stg_climate_entries" in done.stdout
    for text in (done.stdout, done.stderr):
        assert "Compilation Error in model half (models/silver/half.sql)" in text
    assert "its models are shown as they were the last time it did; building them fails" in done.stderr
    assert read.count("main", "raw.climate_entries", window=Window.of_day(DAY)) > 0


@pytest.mark.slow
def test_where_the_project_never_parsed_no_model_is_shown(
    broken: Path, configure: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    configure(start_date="2026-03-04")  # of which no process here has parsed anything
    assert load_project_or_last(settings()) is load_project_or_last(settings()) is None
    assert caplog.text.count("no model is shown") == 1
    (broken / "models/silver/half.sql").unlink()
    assert load_project_or_last(settings()) == load_project(settings())
