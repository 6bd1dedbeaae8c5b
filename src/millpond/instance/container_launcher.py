"""Dagster's launcher of runs in containers, which stands on packages that only our image has."""

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
    """Dagster's launcher of runs in containers, which judges only those that it started."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return how a run's container is; one that was started by hand, `docker exec`, counts as running.

        Dagster would mark it as failed within half a minute, for want of a container.
        """
        if DOCKER_CONTAINER_ID_TAG not in run.tags:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        result: CheckRunHealthResult = super().check_run_worker_health(run)
        return result


def our_container() -> dict[str, Any]:
    """Return what Docker knows of this container; raises ConfigError if it does not answer or know it."""
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
