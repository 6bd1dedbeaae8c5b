"""Dagster's instance of this home, for who does not set DAGSTER_HOME."""

from __future__ import annotations

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef

from millpond.runtime.dagster_home import CODE_LOCATION, dagster_home
from millpond.settings import settings

__all__ = ["CODE_LOCATION", "dagster_home", "instance"]


def instance() -> DagsterInstance:
    """Return the instance of this home; starts Postgres if it does not run. Close it after use (`with`)."""
    return DagsterInstance.from_ref(InstanceRef.from_dir(str(dagster_home(settings()))))
