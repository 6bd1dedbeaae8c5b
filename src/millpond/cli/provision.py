"""`millpond provision`: prepares your servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

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
