"""Dagster's server of the definitions, whose runs are forked from a process that has loaded all they need.

Dagster's own launcher starts each run in a new process, which imports for some seconds first. Here it forks
them from a fork server of Python's `multiprocessing`, unless MILLPOND_WARM_RUNS is false, or what was loaded
is not what a run would load now. Termination and crash reports are Dagster's as before.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import select
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import psutil

import millpond
from millpond.errors import MillpondError
from millpond.instance.log_colours import omit_colours
from millpond.runtime.home import locate
from millpond.runtime.keeper import Restarts
from millpond.runtime.processes import find_process
from millpond.runtime.supervised_parts import WEBSERVER
from millpond.runtime.warm_pool import stamp_files
from millpond.settings import read_layers, settings

_PRELOADED = "millpond.runs.warm_run"
_LOOK_SECONDS = 0.5
_MODULES = (
    *("millpond.platform", "millpond.own_definitions", "millpond.transform.runner"),
    *("millpond.transform.assets", "millpond.instance.storage", "millpond.instance.files"),
    *("millpond.instance.home", "millpond.instance.day_tables", "millpond.runtime.sampling"),
    *("millpond.quality.checks", "millpond.backfill.worker", "millpond.runtime.status"),
    *("millpond.ingestion.load", "millpond.ingestion.rest.reader", "millpond.ingestion.rest.fetch"),
    *("millpond.ingestion.acceptance", "millpond.ingestion.replay", "millpond.ingestion.replay_by_key"),
    *("millpond.ingestion.merge_rows", "millpond.ingestion.migration", "millpond.publish.publication"),
    *("millpond.cli.main", "millpond.cli.progress", "millpond.cli.query", "millpond.cli.backfill_run"),
    *("millpond.cli.reload", "millpond.cli.retirable", "millpond.cli.sources_view"),
    *("millpond.cli.automation_view", "millpond.cli.tables", "millpond.cli.long_table"),
    *("millpond.cli.status", "dotenv"),
    *("dbt.adapters.duckdb.environments.local", "dbt.task.build", "dbt_common.clients.agate_helper"),
    *("fsspec.implementations.local", "numpy.ma", "psycopg2.extras", "pyarrow.acero"),
    *("pyiceberg.avro.decoder_fast", "upath.implementations.local", "rich._emoji_codes"),
    *("typer._adapters", "typer._click.decorators", "dagster._core.secrets.env_file"),
)
"""Imported by functions, so on first use; what a step of Dagster and dlt imports is seen as it runs."""


def main() -> None:
    """Run Dagster's command with the arguments of this process; before them is the code server's id."""
    configured, servers, parent = settings(), list[Any](), int(sys.argv.pop(1))
    sys.modules["__main__"].__spec__ = ModuleSpec(f"{__package__}.__main__", None)  # no run runs it again
    if sys.platform == "linux":
        threading.Thread(target=_end_after, args=(parent, servers), name="parent", daemon=True).start()
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([_PRELOADED])
    loaded = read_what_runs_read() if configured.warm_runs else ()
    keeper = threading.Thread(target=_keep_fork_server, name="fork-server", daemon=True)
    if configured.warm_runs and _are_pages_up():
        keeper.start()  # else the pages come first, as processors are few
    from millpond.internals.dagster_on_demand import dagster_cli, grpc_server

    start = grpc_server.DagsterApiServer.__init__

    def start_with_forks(self: Any, *args: Any, **named: Any) -> None:
        start(self, *args, **named)
        servers.append(self)
        if configured.warm_runs:
            self._mp_ctx = Contexts(forks, self._mp_ctx, loaded)
            if keeper.ident is None:
                keeper.start()

    omit_colours()
    grpc_server.DagsterApiServer.__init__ = start_with_forks  # type: ignore[method-assign]
    dagster_cli()  # type: ignore[no-untyped-call]


class Contexts:
    """A context of `multiprocessing` with the fork server, and Dagster's where a fork would not do.

    `.env`, files of secrets and Millpond's own code are read again by each run of Dagster's launcher, though
    the definitions are loaded once; so a run starts in a new process as soon as one of them has changed.
    """

    def __init__(self, forks: Any, usual: Any, loaded: tuple[Any, ...]) -> None:
        self._forks, self._usual, self._loaded = forks, usual, loaded

    def __getattr__(self, name: str) -> Any:
        """Return queues and events, which both contexts share."""
        return getattr(self._forks, name)

    def Process(self, *given: Any, **named: Any) -> Any:  # noqa: N802 - as `multiprocessing` calls it
        """Return the process of a run, which is not started yet."""
        try:
            changed = read_what_runs_read() != self._loaded
        except MillpondError:
            changed = True  # the run says why
        if changed:
            sys.stderr.write(
                "a run starts in a process of its own: .env, a secret or the installed code has changed;"
                " `millpond reload` loads it\n"
            )
            sys.stderr.flush()
        return (self._usual if changed else self._forks).Process(*given, **named)


def read_what_runs_read() -> tuple[Any, ...]:
    """Return the settings of files, and the state of Millpond's code and of where packages are installed."""
    layers = read_layers(settings().project)
    files = sorted(Path(str(millpond.__file__)).parent.rglob("*.py"))
    packages = [Path(folder) for folder in sys.path if folder.startswith(sys.prefix)]
    return layers[".env"], layers["secrets"], stamp_files(map(str, [*files, *packages]))


def _end_after(parent: int, servers: Sequence[Any]) -> None:
    """Have the server end, after its runs, once the code server is gone: nobody else asks it for anything.

    Dagster's own heartbeat ends it minutes later.
    """
    _await_end(parent)
    if not servers:  # the definitions are not loaded yet
        os._exit(1)
    servers[-1].ShutdownServer(None, None)


def _await_end(pid: int) -> None:
    """Wait until there is no such process (Linux only)."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        select.select([handle], [], [])
        os.close(handle)


def _are_pages_up() -> bool:
    process = find_process(locate(settings()), WEBSERVER)
    return process is not None and process.ready


def _keep_fork_server() -> None:
    """Start the fork server, and again when it has ended, later and later."""
    restarts = Restarts()
    while True:
        forkserver.ensure_running()
        if sys.platform != "linux":
            return  # the next run starts another one
        if (pid := _find_fork_server()) is None:  # it has just been forked
            time.sleep(_LOOK_SECONDS)
            continue
        _await_end(pid)
        seconds = restarts.wait(time.monotonic())
        sys.stderr.write(f"the fork server has ended; it is started again in {seconds:.1f} s\n")
        sys.stderr.flush()
        time.sleep(seconds)


def _find_fork_server() -> int | None:
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any("multiprocessing.forkserver" in word for word in child.cmdline()):
                return int(child.pid)
    return None


def prepare() -> None:
    """Load the definitions and models, and have dlt and Dagster run a step; opens no connection."""
    from dagster import AssetSelection

    from millpond.resources.run import JOB
    from millpond.runtime.home import CODE_LOCATION
    from millpond.transform.runner import warm_up

    definitions = import_module(CODE_LOCATION).defs
    definitions.get_repository_def().get_job(JOB)
    AssetSelection.from_string("*").resolve(definitions.resolve_asset_graph())
    warm_up()
    _stage_a_page()
    _run_a_step()


def load_code() -> None:
    """Import what runs and commands do, without reading settings or the project."""
    from rich.cells import cell_len

    from millpond.transform.dbt_import import defer_class_code

    defer_class_code()
    for name in _MODULES:
        import_module(name)
    inspect.getmodule(inspect.currentframe())  # finds the file of every module: dlt asks for it
    cell_len("✓")  # Rich reads how wide signs are


def _stage_a_page() -> None:
    """Have dlt read its configuration."""
    import pyarrow as pa

    from millpond.ingestion.staging import stage_pages

    with tempfile.TemporaryDirectory() as folder:
        stage_pages(lambda: (pa.table({"row": [n]}) for n in range(2)), Path(folder))


def _run_a_step() -> None:
    import dagster as dg

    from millpond.runs.run import SILENT

    @dg.asset
    def step() -> None: ...

    with dg.DagsterInstance.ephemeral() as forgotten:
        dg.materialize([step], instance=forgotten, run_config=SILENT)


if __name__ == "__main__":
    main()
