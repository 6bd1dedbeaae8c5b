"""Lines to type, or to fill in, that connect other programs to this installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit


def recipes(found: Mapping[str, str], tables: Sequence[str]) -> dict[str, str]:
    """Return by program the lines that connect it, made of what `connections` returns.

    They read one of `tables`, the lake's; where it is empty, one that may come.
    """
    modelled = [name for layer in ("silver", "gold") for name in tables if name.startswith(f"{layer}.")]
    table = next(iter([*modelled, *tables]), "silver.my_table")
    marts = {
        "psql": f'psql "{found["marts_readonly_dsn"]}" -c "\\dt"',
        "DBeaver": _fields(found),
        "Superset, SQLAlchemy": found["marts_readonly_dsn"].replace("postgresql:", "postgresql+psycopg2:", 1),
    }
    lake = _of_catalog(found, table) if "catalog_uri" in found else _of_trino(found)
    return {**marts, **lake, "Python, on this machine": _of_millpond(found["ref"], table)}


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


def _of_catalog(found: Mapping[str, str], table: str) -> dict[str, str]:
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


def _of_trino(found: Mapping[str, str]) -> dict[str, str]:
    server, user, catalog = found["trino_uri"], found["trino_user"], found["trino_catalog"]
    return {
        "Trino's command line": f"trino --server {server} --user {user} --catalog {catalog}",
        "Superset, SQLAlchemy, on the lake": f"trino://{user}@{urlsplit(server).netloc}/{catalog}",
    }


def _of_millpond(ref: str, table: str) -> str:
    return "\n".join(
        (
            "import millpond",
            f'connection = millpond.connect(ref="{ref}")  # DuckDB; the marts are marts.…',
            f'rows = connection.sql("select * from {table}").to_arrow_table()',  # noqa: S608 - the same
        )
    )
