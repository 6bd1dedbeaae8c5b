"""Automation runs what was deployed: an edit in the project reaches no run of it before `millpond reload`."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from background_parts import READY_SECONDS, ask, launch, millpond

from millpond.errors import DeployRefused
from millpond.runtime import deployment
from millpond.runtime.children import end_supervised, find_supervised
from millpond.runtime.down import down
from millpond.runtime.home import layout
from millpond.runtime.processes import find_process
from millpond.runtime.supervised_parts import CODE_SERVER, build_dagster_parts
from millpond.settings import Settings, settings
from waiting import until

MODEL = "dbt/models/gold/calendar/dim_date.sql"
WHOLE, EDITED, LATER = 3_653, 1_000, 2_000
"""Days of the calendar: as shipped, and after edits."""
_RUN = """query ($run: ID!) { runOrError(runId: $run) { ... on Run { status assetMaterializations {
  metadataEntries { label ... on IntMetadataEntry { intValue } } } } } }"""
_RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "millpond") { __typename } }"""


@pytest.fixture
def project(configure: Callable[..., Settings]) -> Iterator[Path]:
    """A copy of the project with the calendar as its only model, in whose home nothing ever ran."""
    original, folder = settings().project, settings().home.parent / "deployed"
    folder.mkdir()
    for name in ("dbt", "sources"):
        shutil.copytree(original / name, folder / name, ignore=shutil.ignore_patterns("target", "logs"))
    models = folder / "dbt" / "models"
    shutil.rmtree(folder / "dbt" / "snapshots")
    for name in ("bronze", "silver", "gold/market", "gold/climate"):
        shutil.rmtree(models / name)
    for name in ("alerts.yaml", "dagster.yaml", "waits.yaml", "workspace.yaml"):
        shutil.copy(original / name, folder / name)
    configured = configure(project=folder, home=folder / "home")
    yield folder
    down(configured)
    shutil.rmtree(folder)


@pytest.fixture
def up(project: Path) -> None:
    answer = millpond("up", "--detach")
    assert answer.returncode == 0, answer.stdout + answer.stderr


def edit(project: Path, days: int | str) -> None:
    model = project / "dbt" / "models" / "gold" / "calendar" / "dim_date.sql"
    first, *others = model.read_text().splitlines()
    model.write_text("\n".join([first, f"{{% set days = {days} %}}", *others[1:], ""]))


def days_after_an_automatic_run() -> int:
    """Have the code server make the calendar, as sensors and pages do, and return how many days it has."""
    run = launch("dim_date")
    until(
        lambda: ask(_RUN, run=run)["runOrError"]["status"] in {"SUCCESS", "FAILURE", "CANCELED"},
        READY_SECONDS,
        every=0.5,
    )
    ended = ask(_RUN, run=run)["runOrError"]
    assert ended["status"] == "SUCCESS"
    (made,) = ended["assetMaterializations"]
    return int(next(m["intValue"] for m in made["metadataEntries"] if m["label"] == "dagster/row_count"))


def changed() -> list[str]:
    found = deployment.changes(settings())
    assert found
    return found.files


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_edit_is_published_by_an_explicit_reload_and_by_nothing_else(project: Path, up: None) -> None:
    assert changed() == []
    edit(project, EDITED)
    shown = json.loads(millpond("status", "--json").stdout)
    assert shown["deployment"]["files"] == changed() == [MODEL]
    assert days_after_an_automatic_run() == WHOLE

    # A code server that the supervisor starts again is no deployment.
    server = find_process(layout(settings()), CODE_SERVER)
    assert server
    os.kill(server.pid, signal.SIGKILL)
    until(
        lambda: (
            (again := find_process(layout(settings()), CODE_SERVER)) is not None and again.pid != server.pid
        ),
        READY_SECONDS,
    )
    assert f"changed since it was loaded: {MODEL}" in millpond("automation", "list").stderr
    # "Reload" in the pages is, as soon as the code server is back.
    until(lambda: bool(ask(_RELOAD)) and changed() == [], READY_SECONDS, every=0.5)
    assert days_after_an_automatic_run() == EDITED

    edit(project, "{{ nonsense")
    before = deployment.current(settings())
    answer = millpond("reload")
    assert answer.returncode == 2
    assert "the dbt project does not parse" in answer.stderr
    assert "dim_date.sql" in answer.stderr
    assert ask(_RELOAD)["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
    assert deployment.current(settings()) == before
    assert "The last reload was refused" in millpond("status").stdout

    edit(project, LATER)
    answer = millpond("reload")
    said = answer.stdout.splitlines()
    assert (answer.returncode, said[0]) == (0, f"reloaded, with changes in {MODEL}"), answer.stderr
    assert days_after_an_automatic_run() == LATER
    answer = millpond("sql", "--json", "select count(*) as days from gold.dim_date")
    assert json.loads(answer.stdout) == [{"days": LATER}]


@pytest.mark.slow
def test_runs_of_the_code_server_read_the_environment_then_the_secrets_then_the_env_file(
    project: Path, configure: Callable[..., Settings], request: pytest.FixtureRequest
) -> None:
    secrets = settings().home.parent / "secrets"
    secrets.mkdir()
    (secrets / "millpond_ref").write_text("main")
    configure(secrets_dir=secrets, timezone="UTC")
    (project / ".env").write_text("MILLPOND_TIMEZONE=No/Zone\nMILLPOND_REF=no such ref\n")
    request.getfixturevalue("up")
    assert days_after_an_automatic_run() == WHOLE


def test_without_up_there_is_nothing_to_reload(project: Path) -> None:
    answer = millpond("reload")
    assert answer.returncode == 2
    assert "`millpond up` is not running" in answer.stderr


def test_a_deployment_is_a_copy_that_later_edits_do_not_reach(project: Path) -> None:
    deployed = deployment.deploy(settings(), checked=False)
    folder = deployment.folder_of(settings(), deployed)
    copied = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert copied == set(deployed.files)
    assert {"waits.yaml", "dbt/dbt_project.yml", "sources/market.yaml"} <= copied
    assert deployment.deploy(settings(), checked=True).state == deployed.state

    (project / "sources" / "market.yaml").unlink()
    (project / "waits.yaml").write_text("")
    (project / "dbt" / "models" / "new.sql").write_text("select 1 as one")
    found = deployment.changes(settings())
    assert found
    assert found.files == ["dbt/models/new.sql", "sources/market.yaml", "waits.yaml"]
    assert found.python == []
    assert (folder / "sources" / "market.yaml").exists()


@pytest.mark.slow
def test_the_models_of_a_new_deployment_are_parsed_while_the_code_server_starts(project: Path) -> None:
    home = layout(settings())

    def count_parsers(after: Callable[[], None] = lambda: None) -> int:
        """Start the code server, and return how many processes parsed beside it before `after` returned."""
        part = next(p for p in build_dagster_parts(settings(), home) if p.name == CODE_SERVER)
        server = part.start()
        assert server
        found = sum("millpond.transform.parse_ahead" in each.cmdline() for each in find_supervised(home))
        after()
        end_supervised(home)
        server.wait()
        return found

    parsed = partial(until, lambda: list(home.dbt.glob("manifests/*/manifest.json")), READY_SECONDS)
    assert count_parsers(parsed) == 1
    assert count_parsers() == 0, "the same deployment is parsed again"


@pytest.mark.slow
def test_a_project_that_does_not_load_is_refused_with_its_reason(project: Path) -> None:
    before = deployment.deploy(settings(), checked=False)
    (project / "sources" / "market.yaml").write_text("source: market\nrest: {}\n")
    with pytest.raises(DeployRefused, match=r"sources/market\.yaml:\d+: at "):
        deployment.deploy(settings(), checked=True)
    assert deployment.current(settings()) == before


def test_copies_that_were_replaced_long_ago_are_removed(project: Path) -> None:
    first = deployment.folder_of(settings(), deployment.deploy(settings(), checked=False))
    edit(project, EDITED)
    second = deployment.folder_of(settings(), deployment.deploy(settings(), checked=False))
    assert deployment.remove_old(settings()) == []
    for folder in (first, second):
        os.utime(folder, (0, 0))
    assert deployment.remove_old(settings()) == [first.name]
    assert second.exists()
