"""Dagster's launcher of runs in containers; its packages are only in the container image."""

from __future__ import annotations

import socket
from typing import Any

from dagster import DagsterRun
from dagster_docker import DockerRunLauncher
from docker.client import from_env
from docker.errors import DockerException

from millpond.errors import ConfigError
from millpond.internals.dagster import CheckRunHealthResult, WorkerStatus
from millpond.internals.dagster_on_demand import DOCKER_CONTAINER_ID_TAG


class ContainerLauncher(DockerRunLauncher):  # type: ignore[misc]
    """Dagster's launcher of runs in containers, which checks only those that it started."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return the health of a run's container; a run started with `docker exec` counts as running.

        Dagster would mark it as failed within half a minute, as it has no container.
        """
        if DOCKER_CONTAINER_ID_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        result: CheckRunHealthResult = super().check_run_worker_health(run)
        return result


def our_container() -> dict[str, Any]:
    """Return Docker's description of this container; raises ConfigError if it has none."""
    try:
        ours: dict[str, Any] = from_env().containers.get(socket.gethostname()).attrs
    except DockerException as error:
        raise ConfigError(
            f"MILLPOND_RUN_LAUNCHER is docker, but Docker does not know this container: {error}",
            unharmed="everything: no run was started",
            next_step="start with docker/compose.runs.yaml, which hands Docker's socket to those who start "
            "runs, or set MILLPOND_RUN_LAUNCHER=process",
        ) from error
    return ours
