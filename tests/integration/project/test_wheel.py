"""From the wheel alone, in an environment that holds nothing else, to a project that works."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import tutorial
from newcomers import environment_with, typed

CHECKOUT = Path(__file__).parents[3]
UV = Path(sys.executable).parent / "uv"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment that holds the wheel, what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    scripts = folder / "venv" / "bin"
    found = environment_with(scripts)
    typed(found, folder, UV, "build", "--wheel", "--out-dir", folder / "dist", CHECKOUT)
    (wheel,) = (folder / "dist").glob("*.whl")
    typed(found, folder, UV, "venv", "--python", sys.executable, folder / "venv")
    install = (UV, "pip", "install", "--python", scripts / "python")
    runtime = CHECKOUT / "requirements" / "runtime.txt"
    typed(found, folder, *install, "--require-hashes", "-r", runtime)
    typed(found, folder, *install, "--no-deps", wheel)
    return found


def test_a_stranger_with_the_wheel_has_a_project_that_fills_and_an_asset_of_its_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    pond = tmp_path / "pond"

    def run(*command: object, folder: Path = pond, **options: Any) -> str:
        return typed(environment, folder, *command, **options)

    run("millpond", "init", "pond", folder=tmp_path)
    try:
        made = json.loads(run("millpond", "demo", "--days", "2", "--json"))
        assert made["complete"]
        assert set(made["loads"]) == {"dlt_diary_entries", "dlt_glucose_entries", "dlt_meter_readings"}
        assert "my_report" in {asset["asset"] for asset in made["run"]["assets"]}
        assert json.loads(run("millpond", "materialize", "my_report", "--json"))["success"]
        planned = run("millpond", "backfill", "*", "--partitions", "2026-11-01", "--dry-run")
        assert "my_report" in planned
        assert "my_report" in run("millpond", "automation", "list")
        where = run("python", "-c", "import millpond; print(millpond.__file__)").strip()
        assert Path(where).is_relative_to(Path(environment["PATH"].split(":")[0]).parent)
        run("dbt", "parse", folder=pond / "dbt")
        apprise = {"MILLPOND_APPRISE_URLS": "json://127.0.0.1:9"}
        said = run("millpond", "alerts", "test", "apprise", code=1, **apprise)
        assert 'pip install "millpond[apprise]"' in said
    finally:
        run("millpond", "down")


def test_the_tutorial_ends_with_a_source_a_model_and_an_asset_of_ones_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    pond = tmp_path / "pond"

    def run(*command: object, folder: Path = pond) -> str:
        return typed(environment, folder, *command)

    run("millpond", "init", "pond", "--template", "empty", folder=tmp_path)
    try:
        with tutorial.serve_shop() as url:
            tutorial.write_tutorial(pond, url)
            said = {" ".join(command): run(*command) for command in tutorial.commands()}
            sold = run("millpond", "sql", "--json", "select sum(orders) as n from marts.daily_sales")
    finally:
        run("millpond", "down")
    assert json.loads(sold) == [{"n": len(tutorial.ORDERS)}]
    assert "my_report" in said["millpond automation list"]
