"""Somebody who adds a source and a model to this repository meets no failing test of the platform."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from millpond.settings import settings
from newcomers import environment_with, typed
from project_folders import example_files, make_example

CHECKOUT = Path(__file__).parents[3]
THAT_LIST_ASSETS = (
    *("tests/definitions/test_definitions.py", "tests/example/test_example_definitions.py"),
    *("tests/example/test_models.py", "tests/example/test_unit_tests.py", "tests/example/test_calendar.py"),
    *("tests/unit/ingestion/test_source_specs.py", "tests/unit/test_project_template.py"),
)
SOURCE = """
source: shop
rest: { base_url: "{url}" }
tables:
  - name: orders
    key: [id]
    event_time: { column: ordered_at, unit: iso }
    endpoint: { path: orders }
    window: { params: { from: "{start_iso}", until: "{end_iso}" } }
    columns:
      id: { type: int, required: true }
      ordered_at: { type: timestamp, required: true }
"""


def files_of(project: Path) -> set[str]:
    """Return the files of a project's sources and models, by their path below it."""
    return {
        str(file.relative_to(project))
        for folder in ("bi", "sources", "dbt/models", "dbt/snapshots", "dbt/macros")
        for file in (project / folder).rglob("*")
        if file.is_file()
    }


def test_tests_run_in_a_project_of_their_own() -> None:
    assert settings().project.parent == settings().home.parent
    assert files_of(settings().project) == files_of(CHECKOUT / "tests" / "project")


def test_tests_of_the_example_run_in_its_files_and_no_others(tmp_path: Path) -> None:
    make_example(tmp_path / "example")
    expected = {
        name for name in example_files() if name.count("/") > 1 or name.startswith(("bi/", "sources/"))
    }
    assert files_of(tmp_path / "example") == expected


@pytest.mark.slow
def test_a_source_and_models_that_are_added_fail_no_test(tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    for name in ("src", "tests", "bi", "dashboards", "dbt", "sources", "docker", "docs"):
        unwanted = shutil.ignore_patterns("__pycache__", "target", "logs", "dbt_packages", "secrets", ".env")
        shutil.copytree(CHECKOUT / name, copy / name, symlinks=True, ignore=unwanted)
    for file in CHECKOUT.iterdir():
        if file.is_file() and file.name != ".env":
            shutil.copy2(file, copy / file.name)
    (copy / "sources" / "shop.yaml").write_text(SOURCE)
    for folder in ("gold/shop", "gold/glucose"):
        (copy / "dbt" / "models" / folder).mkdir(exist_ok=True)
        (copy / "dbt" / "models" / folder / f"{folder[5:]}_more.sql").write_text("select 1 as n")
    tests = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *THAT_LIST_ASSETS)
    typed(environment_with(Path(sys.executable).parent), copy, *tests, PYTHONPATH=str(copy / "src"))
