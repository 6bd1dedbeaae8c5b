"""The parts that all processes of a home share, and any of them can start; they outlive a supervisor."""

from __future__ import annotations

import re
from functools import partial

import psycopg

from millpond.runtime import catalog_server, demo_source
from millpond.runtime.databases import connect_superuser, databases
from millpond.runtime.home import Home
from millpond.runtime.part import UNHEALTHY, UP, Health, Part
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import Process, find_process, stop
from millpond.settings import Settings, source_files, variable

POSTGRES = "postgres"
_DEMO = re.compile(r"^\s*demo\s*[:=]", re.MULTILINE)


def build_shared_parts(settings: Settings, home: Home) -> list[Part]:
    """Return Postgres, the shared catalog and, if a source without a URL needs it, the demo source.

    Under the profile scale, the first two are your own servers.
    """
    parts = [] if settings.scale else [_build_postgres(settings, home), _build_catalog(settings, home)]
    return [*parts, _build_demo_source(settings, home)] if wants_demo_source(settings) else parts


def wants_demo_source(settings: Settings) -> bool:
    """Return whether this is a demo home with a source that has no URL but demo data."""
    return demo_source.is_demo_home(settings) and bool(_find_without_url(settings))


def find_sources_without_address(settings: Settings) -> list[str]:
    """Return the sources that cannot be loaded: they have no URL, and this is not a demo home."""
    return [] if demo_source.is_demo_home(settings) else _find_without_url(settings)


def _find_without_url(settings: Settings) -> list[str]:
    files = source_files(settings.project)
    return sorted(f.stem for f in files if not settings.source(f.stem).url and _DEMO.search(f.read_text()))


def _build_postgres(settings: Settings, home: Home) -> Part:
    def find() -> Process | None:
        server = find_server(home)
        return Process(POSTGRES, server.pid, server.started, server.port, True) if server else None

    def start() -> None:
        databases()

    def examine(process: Process) -> Health:
        server = find_server(home)
        try:
            if server is None or server.pid != process.pid:
                return Health(UNHEALTHY, "accepts no connections")
            with connect_superuser(home, server, "postgres") as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            # A full or recovering server must not be ended: it has the data.
            return Health(UNHEALTHY, str(error).strip(), restartable=False)
        return Health(UP)

    return Part(
        POSTGRES,
        find,
        start,
        examine,
        "127.0.0.1:{port}",
        port=settings.postgres_port,
        setting=variable("postgres_port"),
    )


def _build_catalog(settings: Settings, home: Home) -> Part:
    name = catalog_server.PROCESS

    def start() -> None:
        # It may run on another port because the configured one was in use.
        running = find_process(home, name)
        if running and settings.catalog_port not in (0, running.port):
            stop(home, running)
        catalog_server.ensure_catalog_process(settings)

    return Part(
        name,
        partial(find_process, home, name),
        start,
        lambda process: _to_health(catalog_server.answers(process.port)),
        "http://127.0.0.1:{port}",
        port=settings.catalog_port,
        setting=variable("catalog_port"),
    )


def _build_demo_source(settings: Settings, home: Home) -> Part:
    name = demo_source.PROCESS

    def start() -> None:
        demo_source.ensure_demo_source(settings)

    return Part(
        name,
        partial(find_process, home, name),
        start,
        lambda process: _to_health(demo_source.answers(process.port)),
        "http://127.0.0.1:{port}",
    )


def _to_health(yes: bool) -> Health:
    return Health(UP) if yes else Health(UNHEALTHY, "gives an unexpected answer")
