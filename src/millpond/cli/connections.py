"""How other programs connect to this installation, as values and as lines to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from millpond.errors import ConfigError
from millpond.naming import marts_schema
from millpond.runtime.catalog_server import ensure_catalog_server
from millpond.runtime.dashboard_part import dashboard_url
from millpond.runtime.databases import databases, refuse_other_version
from millpond.runtime.home import CODE_LOCATION, dagster_home
from millpond.runtime.servers import trino_address
from millpond.runtime.supervised_parts import dagster_url
from millpond.settings import Settings, settings, variable


def get_dagster_variables(ref: str | None = None) -> dict[str, str]:
    """Return the environment variables with which Dagster's own commands use this installation and `ref`."""
    configured = settings()
    own = {"DAGSTER_HOME": str(dagster_home(configured)), "DAGSTER_MODULE_NAME": CODE_LOCATION}
    return own if ref in (None, configured.ref) else {**own, variable("ref"): str(ref)}


def get_connections(ref: str | None = None, *, write: bool = False) -> dict[str, str]:
    """Return addresses and credentials by name, for `ref` (default: the setting).

    Starts the embedded Postgres and the shared catalog if they do not run. Raises HomeTooNew, HomeTooOld.

    `catalog_*` is an Iceberg REST catalog whose warehouse is the ref; its token only reads, unless `write`;
    so does the role of `marts_dsn`. `marts_readonly_dsn` only reads, for BI tools.
    With the profile scale it is `trino_*` instead: a catalog in Trino that shows the ref.
    Raises ConfigError for `write` there, since Trino's own access rules decide.
    """
    refuse_other_version()
    configured, found = settings(), databases()
    ref = ref or configured.ref
    if write and configured.scale:
        raise ConfigError(
            "--write is for the catalog of the profile embedded; with scale, Trino's access rules decide",
            next_step="leave it out: `millpond env`",
        )
    lake = _connect_trino(configured, ref) if configured.scale else _connect_catalog(configured, ref, write)
    marts, readonly = (replace(d, search_path=marts_schema(ref)) for d in (found.marts, found.marts_readonly))
    return {
        "home": str(configured.home),
        "profile": configured.profile,
        "ref": ref,
        "marts_schema": marts_schema(ref),
        "marts_dsn": (marts if write else readonly).uri_for_others.get_secret_value(),
        "marts_readonly_dsn": readonly.uri_for_others.get_secret_value(),
        **lake,
        "dagster_url": dagster_url(configured),
        "docs_url": f"{dagster_url(configured)}/docs/",
        "metrics_url": f"{dagster_url(configured)}/metrics",
        "dashboard_url": dashboard_url(configured),
        **{name.lower(): value for name, value in get_dagster_variables().items()},
    }


def _connect_catalog(configured: Settings, ref: str, write: bool) -> dict[str, str]:
    catalog = ensure_catalog_server(configured)
    token = catalog.write_token if write else catalog.read_token
    return {
        "catalog_uri": catalog.uri,
        "catalog_token": token.get_secret_value(),
        "catalog_access": "write" if write else "read",
        "catalog_warehouse": ref,
    }


def _connect_trino(configured: Settings, ref: str) -> dict[str, str]:
    from millpond.lake import trino

    trino.connect(ref)
    return {
        "warehouse": str(configured.iceberg_warehouse_path),
        "trino_uri": trino_address(configured),
        "trino_user": configured.trino_user,
        "trino_catalog": trino.catalog_name(ref),
    }


def build_recipes(found: Mapping[str, str], tables: Sequence[str]) -> dict[str, str]:
    """Return the lines that connect each program, from the result of `get_connections`.

    They read one of `tables`, those of the lake; an example if there are none.
    """
    modelled = [name for layer in ("silver", "gold") for name in tables if name.startswith(f"{layer}.")]
    table = next(iter([*modelled, *tables]), "silver.my_table")
    marts = {
        "psql": f'psql "{found["marts_readonly_dsn"]}" -c "\\dt"',
        "DBeaver": _list_fields(found),
        "Superset, SQLAlchemy": found["marts_readonly_dsn"].replace("postgresql:", "postgresql+psycopg2:", 1),
    }
    lake = _build_catalog_recipe(found, table) if "catalog_uri" in found else _build_trino_recipe(found)
    return {**marts, **lake, "Python, on this machine": _build_millpond_recipe(found["ref"], table)}


def _list_fields(found: Mapping[str, str]) -> str:
    """Return what DBeaver and other JDBC clients ask for in the dialog of a PostgreSQL connection."""
    parts = urlsplit(found["marts_readonly_dsn"])
    fields = {
        "Driver": "PostgreSQL",
        "Host": parts.hostname or "",
        "Port": str(parts.port or 5432),
        "Database": parts.path.removeprefix("/"),
        "Username": unquote(parts.username or ""),
        "Password": unquote(parts.password or ""),
        "Schema": found["marts_schema"],
    }
    return "\n".join(f"{name}: {value}" for name, value in fields.items())


def _build_catalog_recipe(found: Mapping[str, str], table: str) -> dict[str, str]:
    uri, token, warehouse = (found[f"catalog_{name}"] for name in ("uri", "token", "warehouse"))
    return {
        "DuckDB": "\n".join(
            (
                "INSTALL iceberg; LOAD iceberg;",
                f"CREATE SECRET millpond (TYPE iceberg, TOKEN '{token}');",
                f"ATTACH '{warehouse}' AS lake (TYPE iceberg, ENDPOINT '{uri}', SECRET millpond);",
                f"SELECT count(*) FROM lake.{table};",  # noqa: S608 - shown, not run
            )
        ),
        "PyIceberg": "\n".join(
            (
                "from pyiceberg.catalog import load_catalog",
                f'lake = load_catalog("millpond", type="rest", uri="{uri}",',
                f'                    token="{token}", warehouse="{warehouse}")',
                f'rows = lake.load_table("{table}").scan().to_arrow()',
            )
        ),
    }


def _build_trino_recipe(found: Mapping[str, str]) -> dict[str, str]:
    server, user, catalog = found["trino_uri"], found["trino_user"], found["trino_catalog"]
    return {
        "Trino's command line": f"trino --server {server} --user {user} --catalog {catalog}",
        "Superset, SQLAlchemy, on the lake": f"trino://{user}@{urlsplit(server).netloc}/{catalog}",
    }


def _build_millpond_recipe(ref: str, table: str) -> str:
    return "\n".join(
        (
            "import millpond",
            f'connection = millpond.connect(ref="{ref}")  # DuckDB; the marts are marts.…',
            f'rows = connection.sql("select * from {table}").to_arrow_table()',  # noqa: S608 - the same
        )
    )
