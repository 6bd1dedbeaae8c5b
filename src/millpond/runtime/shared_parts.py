"""The parts that anybody may start first and all processes of a home share: they outlive a supervisor."""

from __future__ import annotations

import re
from functools import partial

import psycopg

from millpond.runtime import catalog_server, demo_source
from millpond.runtime.databases import databases, superuser
from millpond.runtime.home import Home
from millpond.runtime.part import UNHEALTHY, UP, Health, Part
from millpond.runtime.postmaster import find_server
from millpond.runtime.processes import Process, find_process, stop
from millpond.settings import Settings, source_files, variable

POSTGRES = "postgres"
_DEMO = re.compile(r"^\s*demo\s*[:=]", re.MULTILINE)


def build_shared_parts(settings: Settings, home: Home) -> list[Part]:
    """Return Postgres, the shared catalog and, where a source without a URL wants it, the demo source.

    Under the profile scale the first two are servers of others.
    """
    parts = [] if settings.scale else [_postgres(settings, home), _catalog(settings, home)]
    return [*parts, _demo_source(settings, home)] if wants_demo_source(settings) else parts


def wants_demo_source(settings: Settings) -> bool:
    """Return whether this is a demo home and a source that the demo source can stand in for has no URL."""
    return demo_source.is_demo_home(settings) and bool(_without_url(settings))


def find_sources_without_address(settings: Settings) -> list[str]:
    """Return the sources that nobody can ask: they have no URL, and this is no demo home."""
    return [] if demo_source.is_demo_home(settings) else _without_url(settings)


def _without_url(settings: Settings) -> list[str]:
    files = source_files(settings.project)
    return sorted(f.stem for f in files if not settings.source(f.stem).url and _DEMO.search(f.read_text()))


def _postgres(settings: Settings, home: Home) -> Part:
    def find() -> Process | None:
        server = find_server(home)
        return Process(POSTGRES, server.pid, server.started, server.port, True) if server else None

    def start() -> None:
        databases()

    def examine(process: Process) -> Health:
        server = find_server(home)
        try:
            if server is None or server.pid != process.pid:
                return Health(UNHEALTHY, "takes no connections")
            with superuser(home, server, "postgres") as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            # A full or recovering server is no reason to end it: it holds the data.
            return Health(UNHEALTHY, str(error).strip(), mendable=False)
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


def _catalog(settings: Settings, home: Home) -> Part:
    name = catalog_server.PROCESS

    def start() -> None:
        # Somebody may have started it elsewhere while the wanted port was taken.
        running = find_process(home, name)
        if running and settings.catalog_port not in (0, running.port):
            stop(home, running)
        catalog_server.ensure_catalog_process(settings)

    return Part(
        name,
        partial(find_process, home, name),
        start,
        lambda process: _health_of(catalog_server.answers(process.port)),
        "http://127.0.0.1:{port}",
        port=settings.catalog_port,
        setting=variable("catalog_port"),
    )


def _demo_source(settings: Settings, home: Home) -> Part:
    name = demo_source.PROCESS

    def start() -> None:
        demo_source.ensure_demo_source(settings)

    return Part(
        name,
        partial(find_process, home, name),
        start,
        lambda process: _health_of(demo_source.answers(process.port)),
        "http://127.0.0.1:{port}",
    )


def _health_of(yes: bool) -> Health:
    return Health(UP) if yes else Health(UNHEALTHY, "gives a wrong answer")
