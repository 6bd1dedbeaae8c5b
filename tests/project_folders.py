"""The projects that tests run in: one of their own, and the shipped example for the tests of the example.

The example is copied file by file, whatever else stands beside it: a source or a model that somebody adds
to the repository so meets no test that counts or names assets. The forecast has tests of its own.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from millpond.runtime.demo_source import mark_demo_home
from millpond.runtime.home import layout
from millpond.settings import PREFIX, settings

CHECKOUT: Final = Path(__file__).resolve().parents[1]
DEFINITIONS: Final = "millpond.definitions"
_ADDRESSES: Final = """
MILLPOND_GREENHOUSE_URL={url}
MILLPOND_MARKET_URL={url}
MILLPOND_MARKET_USER=corner
"""
_NOT_LINKED: Final = ("bi", "dbt", "pyproject.toml", "sources")
_OWN: Final = CHECKOUT / "tests" / "project"
SOURCES: Final = ("diary.yaml", "github.yaml", "meter.yaml", "nightscout.yaml")
MODELS: Final = {
    "bronze/github": ("stg_github_user_events",),
    "bronze/glucose": ("stg_glucose_entries",),
    "bronze/meals": ("stg_diary_entries", "stg_meter_readings"),
    "silver/github": ("fct_github_user_events",),
    "silver/glucose": ("fct_glucose_readings",),
    "silver/meals": ("fct_meals",),
    "gold/calendar": ("dim_date",),
    "gold/github": ("dim_repository", "fct_daily_github_metrics", "mrt_github_activity_overview"),
    "gold/glucose": (
        *("dim_device", "fct_daily_glucose_metrics", "fct_daily_glucose_quality"),
        *("mrt_glucose_hourly_patterns", "mrt_glucose_overview", "mrt_glucose_readings"),
    ),
    "gold/meals": ("fct_daily_meal_metrics", "mrt_meal_response"),
}
SNAPSHOTS: Final = ("device_versions", "repository_versions")
OTHERS: Final = (
    *("dbt_project.yml", "profiles.yml", "macros/glucose.sql", "models/groups.yml"),
    *(f"models/bronze/{domain}/sources.yml" for domain in ("github", "glucose", "meals")),
    *("models/gold/github/exposures.yml", "models/gold/glucose/exposures.yml"),
)


def example_files() -> list[str]:
    """Return the files of the example, by their path below the project."""
    models = [f"dbt/models/{folder}/{name}" for folder, names in MODELS.items() for name in names]
    snapshots = [f"dbt/snapshots/{name}" for name in SNAPSHOTS]
    return [
        *(str(file.relative_to(CHECKOUT)) for file in sorted((CHECKOUT / "bi").rglob("*.yaml"))),
        *(f"sources/{name}" for name in SOURCES),
        *(f"dbt/{name}" for name in OTHERS),
        *(f"{path}.{kind}" for path in (*models, *snapshots) for kind in ("sql", "yml")),
    ]


def make_project(folder: Path, url: str) -> None:
    """Make `folder` the tests' own project, with its sources at `url`; all else is linked to the checkout."""
    files = [
        str(file.relative_to(_OWN)) for kind in ("dbt", "sources") for file in (_OWN / kind).rglob("*.*")
    ]
    _make(folder, _OWN, files)
    (folder / ".env").write_text(_ADDRESSES.format(url=url))


def make_example(folder: Path) -> None:
    """Make `folder` a project of the example's sources and models; all else is linked to the checkout."""
    _make(folder, CHECKOUT, example_files())


def make_forecasting_example(folder: Path) -> None:
    """Make `folder` the same with the forecast: its assets, commands and mart."""
    models = sorted((CHECKOUT / "dbt/models/gold/forecast").iterdir())
    _make(folder, CHECKOUT, [*example_files(), *(str(file.relative_to(CHECKOUT)) for file in models)])
    shutil.copy2(CHECKOUT / "pyproject.toml", folder / "pyproject.toml")


@contextmanager
def sources_at(url: str) -> Iterator[None]:
    """Have the project's `.env`, which Dagster's own processes read too, name `url` for its sources."""
    file = settings().project / ".env"
    before = file.read_text()
    file.write_text(_ADDRESSES.format(url=url))
    settings.cache_clear()
    try:
        yield
    finally:
        file.write_text(before)
        settings.cache_clear()


@contextmanager
def in_example(make: Callable[[Path], None] = make_example) -> Iterator[None]:
    """Have this process use the example, in a demo home, within the block."""
    folder = settings().project.with_name(make.__name__.removeprefix("make_"))
    if not folder.exists():
        make(folder)
    kept = sys.modules.pop(DEFINITIONS, None)
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(f"{PREFIX}PROJECT", str(folder))
            settings.cache_clear()
            mark_demo_home(settings())
            try:
                yield
            finally:
                (layout(settings()).root / "demo").unlink()
    finally:
        settings.cache_clear()
        sys.modules.pop(DEFINITIONS, None)
        if kept:
            sys.modules[DEFINITIONS] = kept


def _make(folder: Path, origin: Path, names: list[str]) -> None:
    folder.mkdir()
    for entry in CHECKOUT.iterdir():
        if not entry.name.startswith(".") and entry.name not in _NOT_LINKED:
            (folder / entry.name).symlink_to(entry)
    text = (CHECKOUT / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(re.sub(r"(?m)^(definitions|commands) = .*\n", "", text))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(origin / name, folder / name)
