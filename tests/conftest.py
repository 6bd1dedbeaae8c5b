"""A home of its own for each test process: real parts, none of the developer's settings or state."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import psutil
import psycopg
import pytest
import time_machine
from xdist.scheduler import LoadFileScheduling

import former_state
from emptied_home import empty, is_reached
from fake_source import every_day, fake_source
from millpond import redaction
from millpond.lake import home_zone
from millpond.runtime.databases import current_databases, databases
from millpond.runtime.down import down
from millpond.runtime.garbage import pause_collection, resume_collection
from millpond.runtime.home import Home, layout
from millpond.runtime.postmaster import find_server
from millpond.settings import PREFIX, Settings, process_environment, settings
from project_folders import DEFINITIONS, make_project

if TYPE_CHECKING:
    import dagster as dg

CHECKOUT = Path(__file__).resolve().parents[1]
_FOLDER = "millpond-test-"
_FOREIGN = (PREFIX, "DAGSTER_", "DBT_", "DLT_", "PG", "COLUMNS")
"""Variables of a developer's environment that would reach the code under test."""

_DBT_SUITE = "dbt/adapter/test_suite.py"
_LONGEST = (
    "integration/runtime/test_up.py",
    "example/test_main_path.py",
    "integration/transform/test_replacing.py",
    "integration/transform/test_audit.py",
    "integration/ingestion/test_shrunk_days.py",
    "integration/cli/test_new_file_sources.py",
    "unit/internals/test_internals.py",
    "faults/test_source_faults.py",
    "integration/runtime/test_embedded_postgres.py",
    "integration/runtime/test_up_in_a_terminal.py",
    "dbt/test_corpus_builds.py",
    "integration/transform/test_model_assets.py",
    "integration/automation/test_pausing.py",
    "integration/cli/test_advice.py",
    "integration/backfill/test_planning.py",
    "integration/runs/test_dagster_commands.py",
    "integration/cli/test_held_back_days.py",
    "forecast/test_forecast_stages.py",
    "integration/runtime/test_deployment.py",
    "integration/runs/test_broken_dbt_project.py",
    "faults/test_killed_backfills.py",
    "integration/lake/test_lake_model.py",
)
"""These begin first, the longest before the others, so that no process is left with one in the end."""

_environment, _served = pytest.MonkeyPatch(), ExitStack()
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Point this process at a new home before any test module is imported."""
    pause_collection()  # until all is imported
    # A shell's background job ignores Ctrl-C: Dagster would have what tests start ignore SIGTERM as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        _remove_leftovers()
    for name in process_environment():
        if name.startswith(_FOREIGN):
            _environment.delenv(name)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    folder.chmod(0o711)
    project = folder / "project"
    source = _served.enter_context(fake_source())
    source.serve = every_day
    make_project(project, source.url)
    _environment.setenv(f"{PREFIX}PROJECT", str(project))
    _environment.setenv(f"{PREFIX}HOME", str(folder / "home"))
    _environment.setenv(f"{PREFIX}DASHBOARD", "false")  # one test in a browser has it
    if hasattr(config, "workerinput"):
        # A pytest that a test starts closes the folder of all sessions to the Postgres of the others.
        _environment.setenv("PYTEST_DEBUG_TEMPROOT", str(folder))
    settings.cache_clear()
    parsed = Path(getattr(config, "workerinput", {}).get("parsed", ""))
    if parsed.name and parsed.exists():
        shutil.copytree(parsed, _parsed())


def _parsed() -> Path:
    return layout(settings()).dbt / "manifests"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Parse the dbt project once for the processes that are about to start, and compile what they import."""
    subprocess.run([sys.executable, "-c", f"import {DEFINITIONS}"], check=False)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Name the parsed project to a test process."""
    node.workerinput["parsed"] = str(_parsed())


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Deals out whole files, and to one process all that start processes off a server: it takes long to load.

    But for the longest, which has enough to do. All tests of the example are one process's, so that it is
    parsed once.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        path = CHECKOUT / file
        if path.is_relative_to(CHECKOUT / "tests" / "example"):
            return "example"
        return "processes" if path != CHECKOUT / "tests" / _LONGEST[0] and _starts_processes(path) else file


@cache
def _starts_processes(file: Path) -> bool:
    return file.is_file() and "\nfrom processes import" in file.read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Return what deals out the tests of `--dist loadfile`."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put dbt's suite first, as it needs a process that has not called dbt yet; then the longest files."""
    ranks = {CHECKOUT / "tests" / file: rank for rank, file in enumerate((_DBT_SUITE, *_LONGEST))}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    """Let the collector of garbage leave alone what stays: imported modules and the tests themselves."""
    resume_collection()


def pytest_unconfigure() -> None:
    """Stop what the tests started and remove its state."""
    settings.cache_clear()
    folder = settings().home.parent
    if not folder.name.startswith(f"{_FOLDER}{os.getpid()}-"):
        return  # the start failed before there was a folder: the settings name the checkout's own home
    down(settings())
    _served.close()
    shutil.rmtree(folder)
    _environment.undo()


@pytest.fixture(autouse=True)
def _own_settings() -> Iterator[None]:
    """Let no test see the settings that another one configured."""
    yield
    settings.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def _own_traces() -> None:
    """Let no file see what another one left: definitions, of another project maybe, and quoted answers."""
    sys.modules.pop(DEFINITIONS, None)
    redaction._excerpts.clear()


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set this process's clock to noon of the module's TODAY, so that no midnight passes during the test.

    A module has no TODAY where processes with a clock of their own take part: it is the present day then.
    """
    day = getattr(request.module, "TODAY", dt.datetime.now(dt.UTC).date())
    with time_machine.travel(dt.datetime.combine(day, dt.time(12), dt.UTC)):
        yield


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT interrupt this process and those it starts, also where a shell left it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Settings]]:
    """Return a function that sets settings for this test: `configure(timezone="Europe/Berlin")`.

    Definitions that were loaded under them are not left to the tests that follow.
    """
    kept = sys.modules.get(DEFINITIONS)

    def configured(**values: object) -> Settings:
        if "project" in values:
            sys.modules.pop(DEFINITIONS, None)
        for name, value in values.items():
            monkeypatch.setenv(f"{PREFIX}{name.upper()}", str(value))
        settings.cache_clear()
        return settings()

    yield configured
    sys.modules.pop(DEFINITIONS, None)
    if kept:
        sys.modules[DEFINITIONS] = kept


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the commands that a test runs in its own process build there too: a companion imports dbt anew."""
    monkeypatch.setattr("millpond.cli.startup.start_companion", lambda **_: nullcontext())


@pytest.fixture(scope="session")
def _superusers() -> Iterator[dict[tuple[object, str], psycopg.Connection[Any]]]:
    connections: dict[tuple[object, str], psycopg.Connection[Any]] = {}
    yield connections
    for connection in connections.values():
        connection.close()


@pytest.fixture
def home(_superusers: dict[tuple[object, str], psycopg.Connection[Any]]) -> Home:
    """Return the home of this test process with Postgres up and all data gone: lake, ops, marts, Dagster."""
    return _empty_home(_superusers)


@pytest.fixture(scope="module")
def home_of_module(_superusers: dict[tuple[object, str], psycopg.Connection[Any]]) -> Home:
    """The same for all tests of a module, which only read what a fixture of theirs wrote."""
    return _empty_home(_superusers)


def _is_checked() -> bool:
    """Return whether this process knows that the home has the tables of this release."""
    return {databases().catalog, databases().ops} <= current_databases


def _empty_home(superusers: dict[tuple[object, str], psycopg.Connection[Any]]) -> Home:
    folders = layout(settings())
    server = find_server(folders)
    if server is None or not is_reached(server, superusers) or not _is_checked():
        for schema in (databases().catalog, databases().ops):
            schema.connect().close()
        server = find_server(folders)
    assert server is not None
    empty(folders, server, superusers)
    for folder in (folders.warehouse, folders.staging):
        shutil.rmtree(folder)
    shutil.rmtree(folders.root / "forecast", ignore_errors=True)  # which the project of the example keeps
    home_zone.verified.clear()
    return layout(settings())


@pytest.fixture
def recorded(home: Home) -> Iterator[dg.DagsterInstance]:
    """Yield Dagster's instance of the home, which holds no runs and no events yet."""
    from millpond.instance.home import open_instance

    with open_instance() as found:
        yield found


@pytest.fixture
def bare(home: Home) -> Iterator[Home]:
    """A home whose Postgres is made and in which nothing was done; put right for other tests afterwards."""
    former_state.empty()
    yield home
    former_state.empty()


@pytest.fixture
def former(bare: Home) -> Home:
    """A home as the release before left it: tables with rows, and no version."""
    former_state.make_former()
    return bare


def _is_ours(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.geteuid()
    except FileNotFoundError:  # another session, which ends just now, removed it
        return False


def _remove_leftovers() -> None:
    """Stop and remove the homes of test processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid = folder.name.removeprefix(_FOLDER).split("-")[0]
        if _is_ours(folder) and not psutil.pid_exists(int(pid)):
            down(Settings(project=folder / "project", home=folder / "home"))
            shutil.rmtree(folder, ignore_errors=True)
