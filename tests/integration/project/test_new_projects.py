"""A project of one's own works from its first minute, without having seen this repository."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from millpond.project.create import create
from newcomers import environment_with, typed

BIN = Path(sys.executable).parent
CHECKOUT = Path(__file__).parents[3]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create(tmp_path_factory.mktemp("päth with spaces") / "pond_1", "glucose")


@pytest.fixture(scope="module")
def calling() -> Iterator[Callable[[Path], Run]]:
    """Run programs of this environment in a project, as a person does who knows no setting."""
    environment, projects = environment_with(BIN), set[Path]()

    def called(folder: Path, *command: str, **options: Any) -> str:
        projects.add(folder)
        return typed(environment, folder, *command, **options)

    yield lambda folder: partial(called, folder)
    for folder in sorted(projects):
        called(folder, "millpond", "down")


@pytest.fixture(scope="module")
def run(project: Path, calling: Callable[[Path], Run]) -> Run:
    return calling(project)


@pytest.mark.slow
def test_its_own_tests_pass(run: Run) -> None:
    assert "2 passed" in run("pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
def test_dagsters_own_dg_lists_checks_and_launches_it(run: Run) -> None:
    home = json.loads(run("millpond", "env", "--json"))["dagster_home"]
    assert "All definitions loaded successfully" in run("dg", "check", "defs")
    listed = json.loads(run("dg", "list", "defs", "--json"))
    assert {"my_report", "mrt_glucose_overview"} <= {asset["asset_key"] for asset in listed["assets"]}
    launched = run("dg", "launch", "--assets", "dim_date", aloud=True, DAGSTER_HOME=home)
    assert "RUN_SUCCESS" in launched
