"""From the wheel alone, in an environment that holds nothing else, to a project that works."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from newcomers import environment_with, typed

CHECKOUT = Path(__file__).parents[3]
UV = Path(sys.executable).parent / "uv"


@pytest.mark.slow
def test_a_stranger_with_the_wheel_has_a_project_that_fills_and_an_asset_of_its_own(tmp_path: Path) -> None:
    scripts = tmp_path / "venv" / "bin"
    environment = environment_with(scripts)

    def run(*command: object, folder: Path = tmp_path, **options: Any) -> str:
        return typed(environment, folder, *command, **options)

    run(UV, "build", "--wheel", "--out-dir", tmp_path / "dist", CHECKOUT)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    run(UV, "venv", "--python", sys.executable, tmp_path / "venv")
    install = (UV, "pip", "install", "--python", scripts / "python")
    run(*install, "--require-hashes", "-r", CHECKOUT / "requirements" / "runtime.txt")
    run(*install, "--no-deps", wheel)

    run("millpond", "init", "pond")
    pond = tmp_path / "pond"
    try:
        made = json.loads(run("millpond", "demo", "--days", "2", "--json", folder=pond))
        assert made["complete"]
        assert set(made["loads"]) == {"dlt_glucose_entries"}
        assert "my_report" in {asset["asset"] for asset in made["run"]["assets"]}
        assert json.loads(run("millpond", "materialize", "my_report", "--json", folder=pond))["success"]
        planned = run("millpond", "backfill", "*", "--partitions", "2026-11-01", "--dry-run", folder=pond)
        assert "my_report" in planned
        assert "my_report" in run("millpond", "automation", "list", folder=pond)
        where = run("python", "-c", "import millpond; print(millpond.__file__)", folder=pond).strip()
        assert Path(where).is_relative_to(tmp_path)
        run("dbt", "parse", folder=pond / "dbt")
        apprise = {"MILLPOND_APPRISE_URLS": "json://127.0.0.1:9"}
        said = run("millpond", "alerts", "test", "apprise", folder=pond, code=1, **apprise)
        assert 'pip install "millpond[apprise]"' in said
    finally:
        run("millpond", "down", folder=pond)
