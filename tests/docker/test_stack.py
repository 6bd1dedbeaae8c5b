"""The stack of docker/: comes up, loads and publishes as docs/scale.md says, keeps its data, is confined."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest
import requests
import yaml
from containers import Containers
from engine import docker, run
from stand_ins import ROOT

from superset_api import SupersetApi

DAY = "2026-11-01"
ONE_SHOT = {"provision", "s3-volume"}
READINGS = f"select reading_count from marts.mrt_glucose_overview where reading_date = '{DAY}'"

LAUNCH = """mutation($run: ExecutionParams!) { launchPipelineExecution(executionParams: $run) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
OVERVIEW = """
from pathlib import Path
from streamlit.testing.v1 import AppTest
import millpond.dashboard.app as app
page = AppTest.from_file(str(Path(app.__file__).parent / "script" / "main.py"), default_timeout=120).run()
assert not page.exception and not page.warning, (page.exception, page.warning)
print(page.title[0].value, [metric.label for metric in page.metric])
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status tags { key value } } } }"

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def up(stack: Containers, lap: Callable[[str], None]) -> Containers:
    done = stack.compose("up", "--detach", "--wait", "--no-build", check=False)
    lap("docker compose up --wait")
    assert not done.returncode, done.stderr + stack.compose("logs", "--tail=30").stdout
    return stack


@pytest.fixture(scope="module")
def loaded(up: Containers, lap: Callable[[str], None]) -> Containers:
    run(_documented("dlt_glucose_entries", "docs/scale.md"))
    lap("docker exec … materialize --select dlt_glucose_entries")
    return up


@pytest.fixture(scope="module")
def published(loaded: Containers, lap: Callable[[str], None]) -> Containers:
    run(_documented("dlt_glucose_entries*", "docs/scale.md"))
    lap('docker exec … materialize --select "dlt_glucose_entries*"')
    return loaded


def test_every_part_comes_up_healthy(up: Containers) -> None:
    for service, found in up.inspect().items():
        if service in ONE_SHOT:
            assert found["State"]["ExitCode"] == 0, service
        else:
            assert found["State"]["Health"]["Status"] == "healthy", service


def test_one_command_loads_a_day(loaded: Containers) -> None:
    made = "select count(*) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION'"
    assert loaded.query("dagster", f"{made} and asset_key like '%dlt_glucose_entries%'") != ["0"]


def test_one_command_takes_a_day_from_the_source_to_the_marts(published: Containers) -> None:
    (readings,) = published.query("marts", READINGS)
    assert int(readings) > 200


def test_superset_has_both_dashboards_and_data_for_each_of_their_charts(
    published: Containers, lap: Callable[[str], None]
) -> None:
    load = ("millpond", "materialize", "*marts/mrt_github_activity_overview", "--partition", DAY)
    docker("exec", "dagster-webserver", *load)
    lap("the GitHub mart of a day")
    password = Path(published.environment["SECRETS"], "superset_admin_password").read_text()
    api = SupersetApi(f"http://127.0.0.1:{published.environment['MILLPOND_SUPERSET_PORT']}", password)
    for file in (ROOT / "bi" / "dashboards").glob("*.yaml"):
        dashboard = yaml.safe_load(file.read_text())
        charts = api.read_charts(dashboard["slug"])
        assert len(charts) == file.read_text().count("sliceName:"), dashboard["slug"]
        assert [title for title, rows in charts.items() if not any(map(any_value, rows))] == []
    assert api.execute("delete from marts.mrt_glucose_readings").status_code >= 400
    lap("Superset's charts")


def any_value(row: dict[str, object]) -> bool:
    return any(value is not None for value in row.values())


def test_the_dashboard_shows_its_first_page_without_a_package_index(
    published: Containers, lap: Callable[[str], None]
) -> None:
    id_ = published.inspect()["dashboard"]["Id"]
    python = "/opt/venv/environments/dashboard-*/bin/python -"
    shown = docker("exec", "-i", id_, "sh", "-c", python, input=OVERVIEW).stdout
    assert "Overview" in shown, shown
    assert "Runs" in shown
    lap("the dashboard's first page")


def test_agents_are_served_in_the_image_without_a_package_index(
    published: Containers, lap: Callable[[str], None]
) -> None:
    command = ["docker", "exec", "-i", "-e", "PIP_INDEX_URL=http://127.0.0.1:9", "dagster-webserver"]
    query = {"sql": f"select reading_count from marts.mrt_glucose_overview where reading_date = '{DAY}'"}
    client = {"protocolVersion": "2025-03-26", "capabilities": {}}
    client["clientInfo"] = {"name": "test", "version": "1"}
    with subprocess.Popen([*command, "millpond", "mcp"], stdin=PIPE, stdout=PIPE, text=True) as served:
        assert served.stdin
        assert served.stdout

        def say(method: str, **message: object) -> None:
            served.stdin.write(json.dumps({"jsonrpc": "2.0", "method": method, **message}) + "\n")
            served.stdin.flush()

        say("initialize", id=1, params=client)
        assert json.loads(served.stdout.readline())["id"] == 1
        say("notifications/initialized")
        say("tools/call", id=2, params={"name": "query", "arguments": query})
        (told,) = json.loads(served.stdout.readline())["result"]["content"]
        served.stdin.close()
    assert json.loads(told["text"])["rows"][0][0] > 200
    lap("a query by MCP")


def test_the_catalog_answers_tokens_alone_and_takes_no_writes(up: Containers) -> None:
    served = up.inspect()["catalog"]["Id"]
    token = docker("exec", served, "millpond", "catalog", "token", "--scope", "write").stdout.strip()
    address = f"http://127.0.0.1:{up.environment['MILLPOND_CATALOG_PORT']}/v1"
    bearer = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{address}/config", timeout=60).status_code == 401
    answer = requests.get(f"{address}/config", headers=bearer, timeout=60)
    assert (answer.status_code, answer.json()["overrides"]) == (200, {"prefix": "main"})
    told = requests.get(f"{address}/main/namespaces/gold", headers=bearer, timeout=60).json()
    assert told["properties"]["location"] == "s3://lake/warehouse/gold"
    body = {"namespace": ["mine"]}
    refused = requests.post(f"{address}/main/namespaces", json=body, headers=bearer, timeout=60)
    assert refused.status_code == 403
    assert "catalog serve --write" in refused.text


def test_the_pages_answer_on_loopback_and_know_the_assets(up: Containers) -> None:
    nodes = up.graphql("{ assetNodes { assetKey { path } } }")["assetNodes"]
    assert ["dlt_glucose_entries"] in [node["assetKey"]["path"] for node in nodes]


def test_nothing_listens_beyond_loopback(up: Containers) -> None:
    bound = [
        binding["HostIp"]
        for found in up.inspect().values()
        for bindings in (found["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ]
    assert set(bound) == {"127.0.0.1"}


def test_containers_run_as_nobody_special_on_a_file_system_they_cannot_change(up: Containers) -> None:
    for service, found in up.inspect().items():
        host = found["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        if service not in ONE_SHOT:
            assert docker("exec", found["Id"], "id", "-u").stdout.strip() != "0", service
            assert host["Memory"] > 0, service


def test_no_secret_is_in_an_environment_or_a_command(up: Containers) -> None:
    folder = Path(up.environment["SECRETS"])
    secrets = [file.read_text() for file in folder.glob("*") if file.suffix != ".properties"]
    described = json.dumps(up.inspect())
    assert len([secret for secret in secrets if secret]) >= 8
    assert not [secret for secret in secrets if secret and secret in described]


@pytest.mark.slow
def test_after_a_restart_the_data_is_there(published: Containers, lap: Callable[[str], None]) -> None:
    before = published.query("marts", READINGS)
    published.compose("down", "--timeout=20")
    lap("docker compose down")
    published.compose("up", "--detach", "--wait", "--no-build")
    lap("docker compose up --wait, again")
    assert published.query("marts", READINGS) == before
    query = f"select count(*) as n from raw.glucose_entries where _partition_date = date '{DAY}'"
    rows = docker("exec", "dagster-webserver", "millpond", "sql", "--json", query).stdout
    assert json.loads(rows)[0]["n"] > 200


@pytest.mark.slow
def test_a_run_from_the_pages_may_have_a_container_of_its_own(
    published: Containers, lap: Callable[[str], None]
) -> None:
    stack = published.with_runs_in_containers()
    stack.compose("up", "--detach", "--wait", "--no-build")
    lap("docker compose up --wait, with compose.runs.yaml")
    job = {
        "repositoryLocationName": "millpond",
        "repositoryName": "__repository__",
        "pipelineName": "millpond",
    }
    asset = {"assetSelection": [{"path": ["dlt_glucose_entries"]}], "assetCheckSelection": []}
    tags = [{"key": "dagster/partition", "value": "2026-11-02"}]
    asked = {"selector": {**job, **asset}, "executionMetadata": {"tags": tags}, "mode": "default"}
    launched = stack.graphql(LAUNCH, run=asked)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = {"status": "QUEUED"}
    while run["status"] not in {"SUCCESS", "FAILURE", "CANCELED"}:
        time.sleep(1)
        run = stack.graphql(RUN, id=launched["run"]["runId"])["runOrError"]
    lap("a run in a container of its own, from the launch to its end")
    assert run["status"] == "SUCCESS"
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["docker/container_id"].startswith(tags["millpond/host"])


def _documented(selection: str, page: str) -> list[str]:
    """Return the `docker exec` command of a page that loads `selection`, as it stands there."""
    lines = (ROOT / page).read_text().splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("docker exec ")]
    (command,) = [each for each in commands if selection in each]
    assert command[-2:] == ["--partition", DAY]
    return command
