"""A project of one's own works from its first minute, without having seen this repository."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from millpond.project.create import create
from newcomers import environment_with, typed
from served_app import serving

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


ORDERS = [
    {"id": n, "ordered_at": f"2026-11-0{1 + n % 3}T0{n}:00:00Z", "amount": n * 1.5} for n in range(1, 9)
]
_FILE = re.compile(r"`([\w./]+)`[^`]*:\n\n```(?:yaml|sql)\n(.*?)```", re.DOTALL)
_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@contextmanager
def shop() -> Iterator[str]:
    """The shop of docs/projects.md."""

    async def orders(request: Request) -> JSONResponse:
        first, end = request.query_params["from"], request.query_params["until"]
        return JSONResponse([row for row in ORDERS if first <= str(row["ordered_at"]) < end])

    with serving(Starlette(routes=[Route("/orders", orders)])) as url:
        yield url


@pytest.mark.slow
def test_the_tutorial_ends_with_a_source_a_model_and_an_asset_of_ones_own(
    tmp_path: Path, calling: Callable[[Path], Run]
) -> None:
    page = (CHECKOUT / "docs" / "projects.md").read_text()
    folder = create(tmp_path / "pond", "empty")
    run = calling(folder)
    files = dict(_FILE.findall(page))
    assert len(files) == 3
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for path, text in {**files, "pond/definitions.py": python}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    with shop() as url:
        (folder / ".env").write_text(f"MILLPOND_SHOP_URL={url}\n")
        commands = [line for block in _SHELL.findall(page)[1:] for line in block.splitlines()]
        said = {command: run(*shlex.split(command)) for command in commands}
        sold = json.loads(run("millpond", "sql", "--json", "select sum(orders) as n from marts.daily_sales"))
        made = run("pytest", "-q", "-p", "no:cacheprovider")
    assert sold == [{"n": len(ORDERS)}]
    assert "my_report" in said["millpond automation list"]
    assert "2 passed" in made
