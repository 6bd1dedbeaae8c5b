"""Dagster's instance of this home, for who does not set DAGSTER_HOME."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from dagster import DagsterInstance

from millpond.internals.dagster import InstanceRef
from millpond.runtime.dagster_home import CODE_LOCATION, dagster_home
from millpond.settings import settings

__all__ = ["CODE_LOCATION", "dagster_home", "instance"]


def instance() -> DagsterInstance:
    """Return the instance of this home; starts Postgres if it does not run. Close it after use (`with`)."""
    folder = dagster_home(settings())
    return DagsterInstance.from_ref(_ref(folder, (folder / "dagster.yaml").read_bytes()))


@lru_cache(2)
def _ref(folder: Path, _content: bytes) -> InstanceRef:
    """Return what dagster.yaml says; reading it takes longer than opening the instance."""
    return InstanceRef.from_dir(str(folder))
