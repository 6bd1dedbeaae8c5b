"""Lines to type, or to fill in, that connect other programs to this installation."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit


def recipes(found: Mapping[str, str]) -> dict[str, str]:
    """Return by program the lines that connect it, made of what `connections` returns."""
    marts = {
        "psql": f'psql "{found["marts_readonly_dsn"]}" -c "\\dt"',
        "DBeaver": _fields(found),
        "Superset, SQLAlchemy": found["marts_readonly_dsn"].replace("postgresql:", "postgresql+psycopg2:", 1),
    }
    lake = _of_catalog(found) if "catalog_uri" in found else _of_trino(found)
    return {**marts, **lake, "Python, on this machine": _of_millpond(found["ref"])}


def _fields(found: Mapping[str, str]) -> str:
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


def _of_catalog(found: Mapping[str, str]) -> dict[str, str]:
    uri, token, warehouse = (found[f"catalog_{name}"] for name in ("uri", "token", "warehouse"))
    return {
        "DuckDB": "\n".join(
            (
                "INSTALL iceberg; LOAD iceberg;",
                f"CREATE SECRET millpond (TYPE iceberg, TOKEN '{token}');",
                f"ATTACH '{warehouse}' AS lake (TYPE iceberg, ENDPOINT '{uri}', SECRET millpond);",
                "SELECT count(*) FROM lake.silver.fct_glucose_readings;",
            )
        ),
        "PyIceberg": "\n".join(
            (
                "from pyiceberg.catalog import load_catalog",
                f'lake = load_catalog("millpond", type="rest", uri="{uri}",',
                f'                    token="{token}", warehouse="{warehouse}")',
                'rows = lake.load_table("silver.fct_glucose_readings").scan().to_arrow()',
            )
        ),
    }


def _of_trino(found: Mapping[str, str]) -> dict[str, str]:
    server, user, catalog = found["trino_uri"], found["trino_user"], found["trino_catalog"]
    return {
        "Trino's command line": f"trino --server {server} --user {user} --catalog {catalog}",
        "Superset, SQLAlchemy, on the lake": f"trino://{user}@{urlsplit(server).netloc}/{catalog}",
    }


def _of_millpond(ref: str) -> str:
    return "\n".join(
        (
            "import millpond",
            f'connection = millpond.connect(ref="{ref}")  # DuckDB; or, as marts: marts.mrt_glucose_overview',
            'rows = connection.sql("select * from silver.fct_glucose_readings").to_arrow_table()',
        )
    )
