"""What other programs need to connect to this installation."""

from __future__ import annotations

from dataclasses import replace

from millpond.errors import ConfigError
from millpond.naming import marts_schema
from millpond.runtime.catalog_server import ensure_catalog_server
from millpond.runtime.databases import databases, refuse_other_version
from millpond.runtime.home import CODE_LOCATION, dagster_home
from millpond.runtime.servers import trino_address
from millpond.runtime.supervised_parts import dagster_url
from millpond.settings import Settings, settings, variable


def dagster_variables(ref: str | None = None) -> dict[str, str]:
    """Return the environment in which Dagster's own commands work on this installation, and on `ref`."""
    configured = settings()
    own = {"DAGSTER_HOME": str(dagster_home(configured)), "DAGSTER_MODULE_NAME": CODE_LOCATION}
    return own if ref in (None, configured.ref) else {**own, variable("ref"): str(ref)}


def connections(ref: str | None = None, *, write: bool = False) -> dict[str, str]:
    """Return addresses and credentials by name, for `ref` (default: the setting).

    Starts the embedded Postgres and the shared catalog if they do not run. Raises HomeTooNew, HomeTooOld.

    `catalog_*` is an Iceberg REST catalog whose warehouse is the ref; its token only reads, unless `write`;
    so does the role of `marts_dsn`. `marts_readonly_dsn` always reads only, for BI tools.
    Under the profile scale, `trino_*` stands in its place: a catalog of Trino's that shows the ref.
    Raises ConfigError for `write` there, where Trino's own access rules decide.
    """
    refuse_other_version()
    configured, found = settings(), databases()
    ref = ref or configured.ref
    if write and configured.scale:
        raise ConfigError(
            "--write is for the catalog of the profile embedded; with scale, Trino's access rules decide",
            next_step="leave it out: `millpond env`",
        )
    lake = _of_trino(configured, ref) if configured.scale else _of_catalog_server(configured, ref, write)
    marts, readonly = (replace(d, search_path=marts_schema(ref)) for d in (found.marts, found.marts_readonly))
    return {
        "home": str(configured.home),
        "profile": configured.profile,
        "ref": ref,
        "marts_schema": marts_schema(ref),
        "marts_dsn": (marts if write else readonly).uri.get_secret_value(),
        "marts_readonly_dsn": readonly.uri.get_secret_value(),
        **lake,
        "dagster_url": dagster_url(configured),
        **{name.lower(): value for name, value in dagster_variables().items()},
    }


def _of_catalog_server(configured: Settings, ref: str, write: bool) -> dict[str, str]:
    catalog = ensure_catalog_server(configured)
    token = catalog.write_token if write else catalog.read_token
    return {
        "catalog_uri": catalog.uri,
        "catalog_token": token.get_secret_value(),
        "catalog_access": "write" if write else "read",
        "catalog_warehouse": ref,
    }


def _of_trino(configured: Settings, ref: str) -> dict[str, str]:
    from millpond.lake import trino

    trino.connect(ref)
    return {
        "warehouse": str(configured.iceberg_warehouse_path),
        "trino_uri": trino_address(configured),
        "trino_user": configured.trino_user,
        "trino_catalog": trino.catalog_name(ref),
    }
