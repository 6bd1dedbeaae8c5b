"""Runs in containers: each gets one like that of the daemon or the pages that start it."""

from __future__ import annotations

import socket

from dagster import DagsterRun
from dagster._core.launcher.base import CheckRunHealthResult, RunLauncher, WorkerStatus
from dagster_docker import DockerRunLauncher
from dagster_docker.docker_run_launcher import DOCKER_CONTAINER_ID_TAG
from docker.client import from_env
from docker.errors import DockerException

from millpond.errors import ConfigError
from millpond.resources.container_likeness import like


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


def container_launcher() -> RunLauncher:
    """Return the launcher; raises ConfigError if Docker does not answer or does not know this container."""
    try:
        ours = from_env().containers.get(socket.gethostname())
    except DockerException as error:
        raise ConfigError(
            f"MILLPOND_RUN_LAUNCHER is docker, but Docker does not know this container: {error}",
            unharmed="everything: no run was started",
            next_step="start with docker/compose.runs.yaml, which hands Docker's socket to those who start "
            "runs, or set MILLPOND_RUN_LAUNCHER=process",
        ) from error
    launcher: RunLauncher = ContainerLauncher(**like(ours.attrs))
    return launcher
