"""Homes in which nothing was made yet, and one for which `millpond up` runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from background_parts import millpond
from warm_project import OWN

from millpond.runtime.down import down
from millpond.runtime.home import Home, layout
from millpond.settings import Settings, settings


@pytest.fixture
def fresh_home(configure: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[..., Home]]:
    """Return a function that moves this test to a home without a cluster."""
    used = []
    open_to_all = settings().home.parent / tmp_path.name

    def moved(folder: Path = open_to_all, **values: object) -> Home:
        used.append(configure(home=folder, **values))
        return layout(used[-1])

    yield moved
    for each in used:
        down(each)


@pytest.fixture
def up(configure: Callable[..., Settings], request: pytest.FixtureRequest) -> Iterator[Path]:
    """A project with assets of its own, with `millpond up` running for it; the parameter is `warm_runs`."""
    original, folder = settings().project, settings().home.parent / "warm"
    (folder / "own").mkdir(parents=True)
    for name in ("alerts.yaml", "dagster.yaml", "waits.yaml", "workspace.yaml"):
        shutil.copy(original / name, folder / name)
    for name in ("dbt", "sources"):
        (folder / name).symlink_to(original / name)
    (folder / "pyproject.toml").write_text('[tool.millpond]\ndefinitions = "own.assets"\n')
    (folder / "own" / "__init__.py").touch()
    (folder / "own" / "assets.py").write_text(OWN)
    more = {"warm_runs": request.param} if hasattr(request, "param") else {}
    configured = configure(project=folder, home=folder / "home", **more)
    answer = millpond("up", "--detach")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    yield folder
    down(configured)
    shutil.rmtree(folder)
