"""Opens Dagster's instance of this home, and gives runs of commands our code location."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from dagster import DagsterInstance, DagsterRun

from millpond.errors import ConfigError
from millpond.internals.dagster import (
    GrpcServerCodeLocationOrigin,
    InstanceRef,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from millpond.resources.run import JOB
from millpond.runtime.home import CODE_LOCATION, dagster_home, layout
from millpond.runtime.supervised_parts import code_server_socket, find_location_name
from millpond.settings import Settings, settings

__all__ = ["CODE_LOCATION", "dagster_home", "open_instance"]


def open_instance() -> DagsterInstance:
    """Return the instance of this home; starts Postgres if it does not run. Close it after use (`with`)."""
    folder = dagster_home(settings())
    return DagsterInstance.from_ref(_parse_ref(folder, (folder / "dagster.yaml").read_bytes()))


@lru_cache(2)
def _parse_ref(folder: Path, _content: bytes) -> InstanceRef:
    """Return the parsed dagster.yaml; parsing takes longer than opening the instance."""
    return InstanceRef.from_dir(str(folder))


_REPOSITORY = "__repository__"


def repository_origin(settings: Settings) -> RemoteRepositoryOrigin:
    """Return the origin of our code location in `millpond up`; raises ConfigError if there is none."""
    location = GrpcServerCodeLocationOrigin(
        host="localhost",
        socket=str(code_server_socket(layout(settings))),
        location_name=find_location_name(settings),
    )
    return RemoteRepositoryOrigin(location, _REPOSITORY)


def add_origin(run: DagsterRun) -> DagsterRun:
    """Return `run` with our code location as its origin, if a command started it.

    These are `millpond materialize`, `backfill` and `demo`, and `dagster asset materialize`.
    """
    if run.remote_job_origin is None and _is_ours(run):
        with suppress(ConfigError):  # a workspace without our code location, whose pages could not show it
            return run._replace(
                remote_job_origin=RemoteJobOrigin(repository_origin(settings()), run.job_name)
            )
    return run


def _is_ours(run: DagsterRun) -> bool:
    code = run.job_code_origin
    return run.job_name == JOB or (
        code is not None and getattr(code.repository_origin.code_pointer, "module", None) == CODE_LOCATION
    )
