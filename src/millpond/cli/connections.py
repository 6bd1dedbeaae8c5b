"""What other programs need to connect to this installation."""

from __future__ import annotations

from millpond.runtime.catalog_server import ensure_catalog_server
from millpond.runtime.dagster_home import CODE_LOCATION, dagster_home
from millpond.runtime.databases import databases
from millpond.settings import settings


def dagster_variables() -> dict[str, str]:
    """Return the environment in which Dagster's own commands work on this installation."""
    return {"DAGSTER_HOME": str(dagster_home(settings())), "DAGSTER_MODULE_NAME": CODE_LOCATION}


def connections() -> dict[str, str]:
    """Return addresses and credentials by name; starts Postgres and the shared catalog if they do not run.

    `catalog_*` is an Iceberg REST catalog whose warehouse is the ref; `marts_readonly_dsn` is for BI tools.
    """
    configured, found = settings(), databases()
    catalog = ensure_catalog_server(configured)
    return {
        "home": str(configured.home),
        "profile": configured.profile,
        "ref": configured.ref,
        "marts_dsn": found.marts.uri.get_secret_value(),
        "marts_readonly_dsn": found.marts_readonly.uri.get_secret_value(),
        "catalog_uri": catalog.uri,
        "catalog_token": catalog.token.get_secret_value(),
        "catalog_warehouse": configured.ref,
        "dagster_url": f"http://127.0.0.1:{configured.dagster_port}",
        **{name.lower(): value for name, value in dagster_variables().items()},
    }
