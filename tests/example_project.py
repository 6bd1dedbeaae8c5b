"""The project that tests run in: the shipped example, file by file, whatever else stands beside it.

A source or a model that somebody adds to the repository so meets no test that counts or names assets.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).resolve().parents[1]
SOURCES: Final = ("github.yaml", "nightscout.yaml")
MODELS: Final = {
    "bronze/github": ("stg_github_user_events",),
    "bronze/glucose": ("stg_glucose_entries",),
    "silver/github": ("fct_github_user_events",),
    "silver/glucose": ("fct_glucose_readings",),
    "gold/calendar": ("dim_date",),
    "gold/github": ("dim_repository", "fct_daily_github_metrics", "mrt_github_activity_overview"),
    "gold/glucose": (
        *("dim_device", "fct_daily_glucose_metrics", "fct_daily_glucose_quality"),
        *("mrt_glucose_hourly_patterns", "mrt_glucose_overview", "mrt_glucose_readings"),
    ),
}
SNAPSHOTS: Final = ("device_versions", "repository_versions")
OTHERS: Final = (
    *("dbt_project.yml", "profiles.yml", "macros/glucose.sql", "models/groups.yml"),
    *("models/bronze/github/sources.yml", "models/bronze/glucose/sources.yml"),
)


def files() -> list[str]:
    """Return the files of the example, by their path below the project."""
    models = [f"dbt/models/{folder}/{name}" for folder, names in MODELS.items() for name in names]
    snapshots = [f"dbt/snapshots/{name}" for name in SNAPSHOTS]
    return [
        *(f"sources/{name}" for name in SOURCES),
        *(f"dbt/{name}" for name in OTHERS),
        *(f"{path}.{kind}" for path in (*models, *snapshots) for kind in ("sql", "yml")),
    ]


def make_project(folder: Path) -> None:
    """Make `folder` a project of the example's sources and models; all else is linked to the checkout."""
    folder.mkdir()
    for entry in CHECKOUT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("dbt", "sources"):
            (folder / entry.name).symlink_to(entry)
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, folder / name)
