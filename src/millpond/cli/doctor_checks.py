"""What `millpond doctor` examines: each check yields what is wrong, with the command that mends it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from millpond.cli.doctor_findings import Check, Finding
from millpond.cli.doctor_safety import examine_files, examine_locks, examine_moved_ports, examine_packages
from millpond.errors import MillpondError
from millpond.naming import MAIN_REF, pluralize
from millpond.settings import settings, variable

_LEAST_FREE, _LEAST_SHARE = 1 << 30, 0.05
_CLOCK_TOLERANCE = 5.0
_EVER = dt.datetime.min.replace(tzinfo=dt.UTC)
_UNHEARD_FOR = dt.timedelta(minutes=10)


def examine_disk() -> Iterator[Finding]:
    """Yield whether the disk of the home is nearly full."""
    usage = psutil.disk_usage(str(_find_existing(settings().home)))
    if usage.free < _LEAST_FREE or usage.free < _LEAST_SHARE * usage.total:
        free = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.0f} GB"
        yield Finding(f"{free} are free on the disk of {settings().home}", "free space; millpond maintain")


def examine_settings() -> Iterator[Finding]:
    """Yield settings that contradict the present."""
    configured, today = settings(), dt.datetime.now(settings().zone).date()
    if configured.start_date > today:
        name = variable("start_date")
        yield Finding(
            f"{name} is {configured.start_date}, in the future: there is no day to load",
            f"set {name} to the first day you want",
        )
    if configured.snapshot_daily_retention_days < configured.snapshot_retention_days:
        yield Finding(
            f"{variable('snapshot_daily_retention_days')} is shorter than"
            f" {variable('snapshot_retention_days')} and has no effect",
            "make it longer, or leave it out",
            "hint",
        )


def examine_ports() -> Iterator[Finding]:
    """Yield ports that another program took while `millpond up` does not run."""
    from millpond.runtime.home import locate
    from millpond.runtime.ports import find_listener, is_free
    from millpond.runtime.processes import find_process
    from millpond.runtime.status import read_status

    report = read_status(settings())
    if report.supervisor:
        for part in report.parts:
            if not part.serves:
                yield Finding(f"{part.name} is {part.state} {part.note}".strip(), f"look at {part.log}")
        return
    home = locate(settings())
    ours = {process.port for part in report.parts if (process := find_process(home, part.name))}
    for name in ("dagster_port", "dashboard_port", "catalog_port"):
        port = getattr(settings(), name)
        if port and port not in ours and not is_free(port):
            who = find_listener(port) or "another program"
            yield Finding(
                f"port {port} of {variable(name)} is in use by {who}",
                f"end it, or set {variable(name)} to another port",
                "hint",
            )


def examine_servers() -> Iterator[Finding]:
    """Yield servers of the profile scale that do not answer."""
    from millpond.runtime.servers import check_servers

    for server in check_servers(settings()):
        if not server.answers:
            yield Finding(f"{server.name} at {server.address} does not answer", "millpond provision")


def examine_versions() -> Iterator[Finding]:
    """Yield migrations that are pending, and a home of other releases or days of another time zone."""
    from millpond.instance.upgrade import find_pending
    from millpond.lake.home_zone import zone_error

    if pending := find_pending():
        yield Finding(f"Dagster's storage has to be migrated: {', '.join(pending)}", "millpond upgrade")
    if zone := zone_error():
        yield Finding(zone.what, zone.next_step)


def examine_clock() -> Iterator[Finding]:
    """Yield whether this machine's clock differs from Postgres', or was set back."""
    from millpond.lake.connect import borrow_connection

    with borrow_connection() as conn:
        began = time.time()
        row = conn.execute("select extract(epoch from clock_timestamp())::float8").fetchone()
        newest = conn.execute("select max(at) from lake_ref_log").fetchone()
    theirs, ours = (row[0] if row else began), (began + time.time()) / 2
    if abs(theirs - ours) > _CLOCK_TOLERANCE:
        yield Finding(f"this machine's clock is {ours - theirs:+.0f} s from Postgres'", "set the clock (NTP)")
    ahead = newest[0] - dt.datetime.now(dt.UTC) if newest and newest[0] else dt.timedelta(0)
    if ahead.total_seconds() > _CLOCK_TOLERANCE:
        yield Finding(
            f"the lake was last changed {ahead} in the future: the clock was set back", "set the clock (NTP)"
        )


def examine_runs() -> Iterator[Finding]:
    """Yield runs whose process is gone, and pool slots of runs that have ended."""
    from millpond.instance.dead_runs import fail_dead_runs, find_dead_runs, find_leaked_slots
    from millpond.instance.home import open_instance

    def close() -> None:
        with open_instance() as opened:
            fail_dead_runs(opened)

    with open_instance() as instance:
        for run, pid in find_dead_runs(instance):
            what = f"run {run.run_id[:8]} is recorded as running, but its process {pid} is gone"
            yield Finding(what, "millpond doctor --fix", fix=close)
        for run in find_leaked_slots(instance):
            what = f"run {run.run_id[:8]} has ended and still holds a slot of a pool"
            yield Finding(what, "millpond doctor --fix", fix=close)


def examine_backfills() -> Iterator[Finding]:
    """Yield backfills whose process is gone."""
    from millpond.backfill.ledger import list_backfills

    for backfill in list_backfills():
        if backfill.dead:
            left = f"{pluralize(backfill.unfinished, 'partition', 'are')} left"
            remedy = f"millpond backfill --resume {backfill.id}"
            yield Finding(f"backfill {backfill.id} lost its process; {left}", remedy)


def examine_branches() -> Iterator[Finding]:
    """Yield audit branches that are older than they are kept."""
    from millpond.lake.housekeeping import drop_old_branches

    for ref in drop_old_branches(dry_run=True):
        what = f"branch {ref.name} of {ref.created_at:%Y-%m-%d} is older than audit branches are kept"
        yield Finding(what, "millpond branch clean", fix=drop_old_branches)


def examine_lake() -> Iterator[Finding]:
    """Yield tables of main with files that are missing from the warehouse."""
    from millpond.lake.missing_files import find_missing_files

    for table, missing in find_missing_files(MAIN_REF).items():
        yield Finding(
            f"table {table} lacks {pluralize(len(missing), 'file')} in the warehouse, among them"
            f" {missing[0]}",
            _describe_remedies(table),
        )


def _describe_remedies(table: str) -> str:
    layer, _, name = table.partition(".")
    again = (
        f"build all of it anew: `millpond materialize {name} --full-refresh`; or " if layer != "raw" else ""
    )
    return f"undo what `millpond tables history {table}` shows; or {again}restore the files from a backup"


def examine_tables() -> Iterator[Finding]:
    """Yield tables and marts whose model no longer exists."""
    from millpond.cli.retirable import list_retirable

    for orphan in list_retirable(MAIN_REF):
        name = orphan.table or orphan.mart
        yield Finding(f"{name} has no model any more", f"millpond retire {name}", "hint")


def examine_alerts() -> Iterator[Finding]:
    """Yield open alerts that a channel did not take, or has not taken for minutes."""
    from millpond.alerts.outbox import list_alerts

    for line in list_alerts():
        is_old = dt.datetime.now(dt.UTC) - (line.alert.created_at or _EVER) > _UNHEARD_FOR
        failed = ("abandoned", "pending", "sending") if is_old else ("abandoned",)
        if waiting := {name: state for name, state in line.channels.items() if state in failed}:
            states = ", ".join(f"{name} {state}" for name, state in waiting.items())
            yield Finding(
                f"alert {line.alert.id} ({line.alert.kind}) was not delivered: {states}",
                f"millpond alerts show {line.alert.id}",
            )


def examine_sources() -> Iterator[Finding]:
    """Yield hosts to which requests are paused, and sources without an address."""
    from millpond.cli.sources_view import list_open_breakers
    from millpond.runtime.shared_parts import find_sources_without_address

    for each in list_open_breakers():
        yield Finding(each.words, "millpond sources list")
    for name in find_sources_without_address(settings()):
        yield Finding(
            f"source {name} is not loaded: it has no address", f"set {variable('url', name)}", "hint"
        )


def examine_deployment() -> Iterator[Finding]:
    """Yield whether automation runs other code than the project has."""
    from millpond.runtime.deployment import changes
    from millpond.runtime.status import read_status

    if not read_status(settings()).supervisor:
        return
    changed = changes(settings())
    if changed and changed.words:
        yield Finding(changed.words, "millpond reload", "hint")


WITHOUT_STATE: dict[str, Check] = {
    "disk": examine_disk,
    "settings": examine_settings,
    "packages": examine_packages,
    "files": examine_files,
    "parts and ports": examine_ports,
    "moved ports": examine_moved_ports,
    "servers": examine_servers,
}
"""Checks that need no database."""
OF_STATE: dict[str, Check] = {
    "versions": examine_versions,
    "clock": examine_clock,
    "locks": examine_locks,
    "runs": examine_runs,
    "backfills": examine_backfills,
    "branches": examine_branches,
    "lake": examine_lake,
    "tables": examine_tables,
    "alerts": examine_alerts,
    "sources": examine_sources,
    "deployment": examine_deployment,
}
"""Checks of what the home holds."""


def examine(checks: dict[str, Check]) -> Iterator[tuple[str, list[Finding]]]:
    """Yield each check's name with what it found; a check that fails itself is a finding."""
    for name, check in checks.items():
        try:
            yield name, list(check())
        except (MillpondError, OSError, psycopg.Error) as error:
            what = getattr(error, "what", None) or str(error).strip()
            next_step = getattr(error, "next_step", "") or "mend that, and repeat millpond doctor"
            yield name, [Finding(f"could not be examined: {what}", next_step)]


def _find_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
