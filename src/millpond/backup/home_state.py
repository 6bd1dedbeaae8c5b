"""What a home consists of: what is dumped, which folders are copied, and which are made again when needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from millpond.backup.databases import Part
from millpond.runtime.databases import Database, Databases
from millpond.runtime.home import Home
from millpond.runtime.superset import state_folder

STAGE = "restoring"
"""Folder of a home in which a restore prepares what it moves into place at the end."""
_MADE_AGAIN = {
    *("postgres", "dagster", "dbt", "extensions", "run", "logs"),
    *("environments", "deployed", "duckdb_secrets", STAGE),
}
"""Folders that are made again when they are needed, or hold logs and passwords; Postgres is dumped."""
_SUPERSET = "superset"


def list_parts(there: Databases, home: Home) -> list[Part]:
    """Return what is dumped of the databases, each with the role that owns it.

    Superset's database only of a home that runs Superset itself.
    """
    parts = [
        Part(there.dagster, "public"),
        Part(there.catalog, "catalog"),
        Part(there.ops, "ops"),
        Part(there.marts, hashed=True),
    ]
    if secret := read_superset_password(home):
        lake = there.catalog
        superset = Database(
            _SUPERSET, _SUPERSET, "millpond_superset", secret, lake.port, "public", lake.host, lake.sslmode
        )
        parts.append(Part(superset, "public"))
    return parts


def read_superset_password(home: Home) -> SecretStr | None:
    """Return the password of Superset's role, None in a home without Superset."""
    try:
        return SecretStr((state_folder(home) / "database_password").read_text())
    except FileNotFoundError:
        return None


def list_state_files(home: Home) -> Iterator[Path]:
    """Yield the files of the home that a backup copies: those of all folders that are not made again.

    Links are left out.
    """
    left_out = {home.root / name for name in _MADE_AGAIN} | {home.warehouse, home.staging}
    for path in sorted(home.root.iterdir()) if home.root.exists() else ():
        if path not in left_out and not path.is_symlink():
            yield from _walk(path, left_out)


def _walk(path: Path, left_out: set[Path]) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        for below in sorted(path.iterdir()):
            if below not in left_out and not below.is_symlink():
                yield from _walk(below, left_out)
