"""What `millpond doctor` examines of this machine: packages, modes of files, locks, ports that moved."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from millpond.cli.doctor_findings import Finding
from millpond.naming import pluralize
from millpond.settings import settings, variable

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_HELD_MINUTES = 15
_OLD_LOCKS = """
    select a.pid, a.application_name, extract(epoch from now() - a.state_change)::int / 60
    from pg_locks l join pg_stat_activity a using (pid)
    where l.locktype = 'advisory' and l.granted and a.state like 'idle%%' and a.pid <> pg_backend_pid()
        and l.database = (select oid from pg_database where datname = current_database())
        and a.state_change < now() - make_interval(mins => %s)
    group by 1, 2, 3
"""


def examine_packages() -> Iterator[Finding]:
    """Yield packages of another version than this release needs."""
    from packaging.requirements import Requirement

    for line in requires("millpond") or ():
        needed = Requirement(line)
        if needed.marker and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(needed.name)
        except PackageNotFoundError:
            yield Finding(f"the package {needed.name} is not installed", "make setup")
            continue
        if not needed.specifier.contains(found, prereleases=True):
            yield Finding(
                f"{needed.name} {found} is installed, this release needs {needed.specifier}", "make setup"
            )


def examine_files() -> Iterator[Finding]:
    """Yield folders with data and files with secrets that other users of this machine may read."""
    from millpond.runtime.home import locate

    home = locate(settings())
    private = [home.warehouse, home.staging, home.dagster, home.dbt, home.logs]
    for path in [*private, *home.run.glob("*.token")]:
        if mode := _find_open_mode(path):
            fix = partial(_close_to_others, path)
            yield Finding(f"{path} has mode {mode:o}: others may use it", f"chmod go= {path}", fix=fix)
    own = settings().project / ".env"
    if mode := _find_open_mode(own):
        yield Finding(f"{own} has mode {mode:o}: others may read what is in it", f"chmod go= {own}", "hint")


def examine_locks() -> Iterator[Finding]:
    """Yield connections that hold a lock of a table and have done nothing for minutes."""
    from millpond.lake.connect import borrow_connection

    with borrow_connection() as conn:
        held = conn.execute(_OLD_LOCKS, [_HELD_MINUTES]).fetchall()
    for pid, program, minutes in held:
        who = f"{program or 'a program'} (process {pid} of Postgres)"
        yield Finding(
            f"{who} holds a lock of a table and has done nothing for {pluralize(minutes, 'minute')}",
            "end the program; if it is gone: millpond down, then millpond up",
        )


def examine_moved_ports() -> Iterator[Finding]:
    """Yield servers that listen on another port than their setting says, as that was taken."""
    from millpond.runtime.home import locate
    from millpond.runtime.processes import find_process
    from millpond.runtime.supervised_parts import WEBSERVER

    home = locate(settings())
    for name in ("catalog", "dashboard", "dagster"):
        wanted = getattr(settings(), f"{name}_port")
        process = find_process(home, WEBSERVER if name == "dagster" else name)
        if process and wanted and process.port not in (0, wanted):
            yield Finding(
                f"{name} listens on {process.port}, not on {wanted} of {variable(f'{name}_port')}",
                f"`millpond status` has the address; to get {wanted} back, free it, then millpond down",
                "hint",
            )


def _find_open_mode(path: Path) -> int:
    """Return the mode of a path that others may use; 0 for any other."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    return mode if mode & _OPEN_TO_OTHERS else 0


def _close_to_others(path: Path) -> None:
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OPEN_TO_OTHERS)
