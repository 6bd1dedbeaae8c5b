"""`millpond maintain` and `millpond provision`: housekeeping by hand, and preparing your servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer


def maintain(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="Age such as 3d or 36h, at least a day; default: MILLPOND_ORPHAN_RETENTION_DAYS.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Drop old audit branches, remove files that nothing refers to any more, and delete logs of old runs.

    Files that a ref can still show, and what Dagster knows of assets, are not touched. Automation does
    the same at night.

    Example: millpond maintain --dry-run
    """
    from millpond.cli import output
    from millpond.cli.arguments import parse_span
    from millpond.instance.event_retention import prune
    from millpond.instance.home import open_instance
    from millpond.lake import housekeeping, nessie
    from millpond.runtime import deployment
    from millpond.settings import settings

    dropped = [ref.name for ref in housekeeping.drop_old_branches(dry_run=dry_run)]
    found = housekeeping.remove_orphans(
        parse_span(older_than) if older_than is not None else None, dry_run=dry_run
    )
    events = runs = 0
    if not dry_run:
        deployment.remove_old(settings())
        with open_instance() as instance:
            events, runs = prune(instance)
    size = sum(orphan.bytes for orphan in found)
    if as_json:
        output.print_json(
            {
                "dry_run": dry_run,
                "branches": dropped,
                "files": found,
                "bytes": size,
                "events": events,
                "outputs": runs,
            }
        )
        return
    if nessie.is_used():
        typer.echo(housekeeping.NESSIE)
    would = "would remove" if dry_run else "removed"
    folders: dict[str, list[int]] = {}
    for orphan in found:
        folders.setdefault("/".join(orphan.location.split("/")[-4:-2]), []).append(orphan.bytes)
    if found:
        rows = [(folder, len(sizes), sum(sizes)) for folder, sizes in sorted(folders.items())]
        output.print_rows_as_table(["table", "files", "bytes"], rows)
    typer.echo(f"{would}: {len(dropped)} audit branches, {len(found)} files of {size / 1e6:.1f} MB")
    if not dry_run:
        typer.echo(f"deleted: {events} events of old runs, the output of {runs} runs")


if TYPE_CHECKING:
    from millpond.settings import Settings

_Row = tuple[str, str, str, str]


def provision(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Create roles, databases and schemas on your Postgres; check S3, and that Trino reads the lake.

    For the profile scale. May be repeated: it sets passwords and grants as in the settings and does not
    touch data. It is the only command that needs MILLPOND_POSTGRES_ADMIN_PASSWORD.

    Example: MILLPOND_PROFILE=scale millpond provision
    """
    from millpond.cli import output
    from millpond.errors import ConfigError
    from millpond.settings import settings

    configured = settings()
    if not configured.scale:
        raise ConfigError(
            "there is nothing to provision: the parts of the profile embedded provision themselves",
            next_step="set MILLPOND_PROFILE=scale and its servers (see .env.example)",
        )
    rows = [_provision_postgres(configured), _check_warehouse(configured), *_check_others(configured)]
    columns = ("server", "state", "address", "found")
    (output.print_rows_as_json if as_json else output.print_rows_as_table)(columns, rows)
    if any(row[1] != "ready" for row in rows):
        raise typer.Exit(1)


def _provision_postgres(configured: Settings) -> _Row:
    import psycopg

    from millpond.errors import ServerUnreachable
    from millpond.lake.connect import connect
    from millpond.runtime import databases, provisioning

    address = f"{configured.postgres_host}:{configured.postgres_port}"
    try:
        created = provisioning.provision(
            lambda database: databases.connect_administrator(configured, database),
            configured.role_passwords,
            shared=True,
        )
        if configured.postgres_superset_password:
            provisioning.provision_superset(
                lambda database: databases.connect_administrator(configured, database),
                configured.postgres_superset_password,
            )
        connect().close()  # makes the catalog's tables
    except ServerUnreachable as error:
        return "postgres", "unreachable", address, error.what
    except psycopg.Error as error:
        return "postgres", "refused", address, str(error).strip()
    found = f"created {', '.join(created)}" if created else "roles, databases and schemas exist"
    return "postgres", "ready", address, found


def _check_warehouse(configured: Settings) -> _Row:
    from millpond.runtime.servers import try_warehouse

    address = f"{configured.iceberg_warehouse_path} at {configured.s3_endpoint or 'AWS'}"
    try:
        return "s3", "ready", address, try_warehouse(configured)
    except OSError as error:
        return "s3", "unusable", address, str(error)


def _check_others(configured: Settings) -> list[_Row]:
    """Return the rows of Trino, which must also read the lake, and of Nessie if it is the catalog."""
    from millpond.errors import MillpondError
    from millpond.lake import trino
    from millpond.runtime.servers import check_servers

    rows: list[_Row] = []
    for server in check_servers(configured):
        if server.name in ("postgres", "s3"):
            continue
        state, note = ("ready" if server.answers else "unreachable"), server.note
        if server.name == "trino" and server.answers:
            try:
                trino.run_query("show schemas", configured.ref)
                note += ", reads the lake"
            except MillpondError as error:
                state, note = "unusable", error.what
        rows.append((server.name, state, server.address, note))
    return rows
