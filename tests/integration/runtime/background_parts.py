"""`millpond up` and its parts, started and looked at as a person does: by commands."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

from millpond.resources.run import JOB
from millpond.runtime.children import find_supervised
from millpond.runtime.home import Home
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import list_processes
from millpond.runtime.supervised_parts import dagster_url
from millpond.settings import process_environment, settings
from waiting import until

FREE_PORTS = {"MILLPOND_DAGSTER_PORT": "0", "MILLPOND_CATALOG_PORT": "0"}
READY_SECONDS = 240.0
_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"


def millpond(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `millpond` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "millpond.cli.main", *arguments],
        env=process_environment(**{**FREE_PORTS, **environment}),
        capture_output=True,
        text=True,
        timeout=READY_SECONDS + 30,
        check=False,
    )


def status() -> dict[str, Any]:
    """Return what `millpond status` says."""
    answer = millpond("status", "--json")
    shown: dict[str, Any] = json.loads(answer.stdout)
    assert (answer.returncode == 0) == shown["up"]
    return shown


def running_parts(home: Home) -> list[object]:
    """Return all that runs for a home, the processes of commands that only started it aside."""
    return [
        *find_supervised(home),
        *(p for p in list_processes(home) if p.name != "up"),
        *filter(None, [find_server(home)]),
    ]


def ask(query: str, **variables: Any) -> Any:
    """Return what Dagster's pages answer to a query."""
    request = urllib.request.Request(
        f"{dagster_url(settings())}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
        return json.load(answer)["data"]


def ask_for_launch(*assets: str) -> dict[str, Any]:
    """Launch a run of assets without partitions, as sensors and pages do; returns the answer."""
    selector = {
        "repositoryLocationName": "millpond",
        "repositoryName": "__repository__",
        "jobName": JOB,
        "assetSelection": [{"path": [name]} for name in assets],
    }
    params = {"selector": selector, "runConfigData": {}, "mode": "default"}
    answer: dict[str, Any] = ask(_LAUNCH, params=params)["launchRun"]
    return answer


def launch(*assets: str) -> str:
    """Launch a run; returns its id. The pages refuse it while they still load what a reload brought."""
    launched: dict[str, Any] = {}

    def is_launched() -> bool:
        launched.update(ask_for_launch(*assets))
        return "run" in launched

    until(is_launched, READY_SECONDS, every=0.5)
    return str(launched["run"]["runId"])


def terminate(run: str) -> None:
    """Have the pages terminate a run."""
    assert ask(_TERMINATE, run=run)["terminateRun"]["__typename"] == "TerminateRunSuccess"
