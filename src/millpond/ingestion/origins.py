"""Where each raw table was loaded from: rows of two servers, or demo and real rows, never meet in a home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import tuple_row

from millpond.errors import ConfigError, NoSourceAddress, OriginChanged
from millpond.ingestion.rest.placeholders import CONNECTION, SECRET, Values, fill, names
from millpond.ingestion.spec import SourceSpec, SourceTable
from millpond.ingestion.sql.address import describe_database
from millpond.runtime.databases import databases
from millpond.runtime.demo_source import is_demo_home, serves_demo
from millpond.runtime.idle_connections import borrow
from millpond.settings import Settings, settings, variable

DEMO: Final = "demo data"
_LOCK: Final = 0x6F726967696E73
"""Advisory lock that keeps two processes from noting an origin at once."""

_SELECT = """
    select table_name, origin from source_origins
    where table_name = %(table)s or (origin = %(demo)s) <> (%(origin)s = %(demo)s)
    order by (origin = %(demo)s) <> (%(origin)s = %(demo)s) desc, table_name <> %(table)s, table_name
    limit 1
"""
_SELECT_REAL = "select table_name from source_origins where origin <> %s order by 1"
_RECORD = """
    insert into source_origins (table_name, source, origin) values (%s, %s, %s)
    on conflict (table_name) do nothing
"""
_MOVE = "update source_origins set origin = %s, since = now() where source = %s and origin <> %s"


@dataclass(frozen=True)
class Origin:
    """Where rows of a raw table come from: DEMO, or the address without credentials and the account."""

    source: str
    table: str
    address: str


def origin_of(source: SourceSpec, table: SourceTable, values: Values, configured: Settings) -> Origin:
    """Return the origin of what is loaded with these values of the connection's placeholders."""
    if source.demo and serves_demo(configured, source.source):
        return Origin(source.source, table.raw_table, DEMO)
    return Origin(source.source, table.raw_table, _address(source, values))


def has_address(source: SourceSpec, configured: Settings) -> bool:
    """Return whether `source` can be asked: it has an address, or the demo source stands in."""
    if configured.source(source.source).url or "url" not in names(source.location):
        return True
    return bool(source.demo) and is_demo_home(configured)


def refuse_without_address(source: SourceSpec, configured: Settings) -> None:
    """Raise NoSourceAddress if `source` has no URL and this home holds no demo data."""
    if source.demo and not has_address(source, configured):
        name = variable("url", source.source)
        raise NoSourceAddress(
            f"{source.source} has no address: {name} is not set, and `millpond demo` did not make this home",
            unharmed="everything: nothing was asked and nothing written",
            next_step=f"set {name} in the environment or in .env; or try Millpond on demo data with"
            " `millpond demo`, in a home that holds no other data (MILLPOND_HOME names it)",
        )


def check(connection: psycopg.Connection[Any], origin: Origin) -> bool:
    """Return whether `origin` is on record for its table; False if nothing was loaded so far.

    Costs one read. Raises OriginChanged if the table was loaded from elsewhere, or any table of this home
    from the demo source where this one is not, or the other way round.
    """
    asked = {"table": origin.table, "origin": origin.address, "demo": DEMO}
    found = connection.cursor(row_factory=tuple_row).execute(_SELECT, asked).fetchone()
    if found and found[1] != origin.address:
        raise _changed_error(origin, *found)
    return found is not None


def tables_of_real_sources() -> list[str]:
    """Return the raw tables of this home that were loaded from anything but the demo source."""
    with borrow(databases().ops) as connection:
        found = connection.cursor(row_factory=tuple_row).execute(_SELECT_REAL, (DEMO,)).fetchall()
    return [name for (name,) in found]


def record(origin: Origin) -> None:
    """Note before the first rows of a table are written where they come from.

    Raises OriginChanged if another process noted another origin meanwhile, or demo data beside real ones.
    """
    with borrow(databases().ops) as connection, connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_RECORD, (origin.table, origin.source, origin.address))
        check(connection, origin)


def accept_move(source: SourceSpec, configured: Settings) -> list[str]:
    """Take the address that is set now as the one that all tables of `source` were loaded from.

    Returns the former origins. Raises NoSourceAddress, and ConfigError where demo data is involved.
    """
    refuse_without_address(source, configured)
    found = configured.source(source.source)
    values = {"url": found.url, "user": found.user}
    new = origin_of(source, source.tables[0], values, configured).address
    with borrow(databases().ops) as connection, connection.transaction():
        rows = connection.execute(
            "select distinct origin from source_origins where source = %s order by 1", (source.source,)
        ).fetchall()
        former = [row[0] for row in rows if row[0] != new]
        if DEMO in former or (former and new == DEMO):
            raise _demo_and_real(source.source, former[0], new)
        connection.execute(_MOVE, (new, source.source, new))
    return former


def _address(source: SourceSpec, values: Values) -> str:
    """Return what tells a server and the account on it from others; http and https are the same server."""
    shown = {name: "…" if name in SECRET else values.get(name) for name in CONNECTION}
    if source.sql:
        return describe_database(fill(source.location, shown) or source.location, values.get("user"))
    parts = urlsplit(fill(source.location, shown) or source.location)
    port = f":{parts.port}" if parts.port not in (None, 80, 443) else ""
    host = parts.hostname or f"{parts.scheme or 'folder'}:"
    place = f"{host}{port}{parts.path.rstrip('/')}"
    return f"{place} as {values['user']}" if values.get("user") else place


def _changed_error(origin: Origin, table: str, recorded: str) -> ConfigError:
    if DEMO in (origin.address, recorded):
        return _demo_and_real(origin.source, recorded, origin.address, table)
    return OriginChanged(
        f"{origin.table} was loaded from {recorded}, and {origin.source} is now {origin.address}",
        unharmed="all that was loaded; nothing was asked and nothing written",
        next_step=f"if the same data moved there, accept it with `millpond sources moved {origin.source}`;"
        f" else set {variable('url', origin.source)} and {variable('user', origin.source)} as they were, or"
        " load it into another home (MILLPOND_HOME)",
    )


def _demo_and_real(source: str, recorded: str, now: str, table: str = "") -> ConfigError:
    what = table or f"what {source} loaded so far"
    if recorded == DEMO:
        return OriginChanged(
            f"{what} holds demo data in this home, and {source} is {now}: they are never mixed",
            unharmed="the demo data; nothing was asked of the source and nothing written",
            next_step=f"{_elsewhere()} for your own data",
        )
    return OriginChanged(
        f"{what} was loaded from {recorded}, and without {variable('url', source)} the demo source would"
        " answer: they are never mixed",
        unharmed="all that was loaded; nothing was written",
        next_step=f"set {variable('url', source)} to load your own, in .env to keep it set; or run the demo"
        " in a home of its own: `MILLPOND_HOME=.millpond-demo millpond demo`",
    )


def _elsewhere() -> str:
    if settings().scale:
        return "name another warehouse and other databases, or remove those of the demo,"
    return "set MILLPOND_HOME to a new folder (in .env to keep it set)"
