"""A project of one's own works from its first minute, without having seen this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millpond.project.create import create
from millpond.settings import process_environment

BIN = Path(sys.executable).parent
CHECKOUT = Path(__file__).parents[3]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create(tmp_path_factory.mktemp("päth with spaces") / "pond_1", "glucose")


@pytest.fixture(scope="module")
def run(project: Path) -> Iterator[Run]:
    """Run a program of this environment in the project, as a person does who knows no setting."""
    environment = {name: value for name, value in process_environment().items() if "MILLPOND" not in name}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"

    def called(*command: str, code: int = 0, aloud: bool = False, **more: str) -> str:
        done = subprocess.run(
            command,
            cwd=project,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 and not aloud else done.stdout + done.stderr

    yield called
    called("millpond", "down")


def test_its_own_tests_pass(run: Run) -> None:
    assert "2 passed" in run("pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
def test_an_asset_of_its_own_is_made_after_the_days_it_reads(run: Run) -> None:
    made = json.loads(run("millpond", "demo", "--days", "2", "--json"))
    assert made["complete"]
    assert "my_report" in {asset["asset"] for asset in made["run"]["assets"]}
    assert json.loads(run("millpond", "materialize", "my_report", "--json"))["success"]
    planned = run("millpond", "backfill", "*", "--partitions", "2026-11-01,2026-11-02", "--dry-run")
    assert "my_report" in planned
    assert "my_report" in run("millpond", "automation", "list")


@pytest.mark.slow
def test_dagsters_own_dg_lists_checks_and_launches_it(run: Run) -> None:
    home = json.loads(run("millpond", "env", "--json"))["dagster_home"]
    assert "All definitions loaded successfully" in run("dg", "check", "defs")
    listed = json.loads(run("dg", "list", "defs", "--json"))
    assert {"my_report", "mrt_glucose_overview"} <= {asset["asset_key"] for asset in listed["assets"]}
    launched = run("dg", "launch", "--assets", "my_report", aloud=True, DAGSTER_HOME=home)
    assert "RUN_SUCCESS" in launched
