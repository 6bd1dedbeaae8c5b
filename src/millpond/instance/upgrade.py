"""Migrations that Dagster's storage needs for the installed Dagster."""

from __future__ import annotations

import logging

import dagster as dg
import dagster_postgres
import psycopg
from alembic.script import ScriptDirectory

from millpond.errors import HomeTooNew
from millpond.instance.home import open_instance
from millpond.internals import dagster_on_demand as internals
from millpond.runtime.databases import databases
from millpond.runtime.home import exclusive, layout
from millpond.settings import settings

_REVISION = "select version_num from alembic_version"
_DONE = "select name from secondary_indexes where migration_completed is not null"


def find_pending() -> list[str]:
    """Return a description of each pending migration; none if there are no tables yet.

    Only reads. Raises HomeTooNew if a newer Dagster wrote the storage.
    """
    with databases().dagster.connect(autocommit=True) as connection:
        try:
            found = connection.execute(_REVISION).fetchone()
        except psycopg.errors.UndefinedTable:
            return []
        done = {name for (name,) in connection.execute(_DONE)}
    revision, scripts = str(found[0]) if found else None, _load_scripts()
    head = scripts.get_current_head()
    if revision and revision not in {script.revision for script in scripts.walk_revisions()}:
        raise HomeTooNew(
            f"Dagster's storage has revision {revision}, which the installed Dagster {dg.__version__} does"
            " not know: a newer one wrote it",
            unharmed="all of it: nothing was changed",
            next_step="install the release of Millpond that this home was used with (see its CHANGELOG.md)",
        )
    tables = [f"tables of revision {head} (now {revision})"] if revision != head else []
    return [*tables, *(f"data: {name}" for name in _list_data_migrations() if name not in done)]


def upgrade_storage() -> None:
    """Migrate Dagster's storage as `dagster instance migrate` and `reindex` do; idempotent."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with (
        exclusive(layout(settings()).run / "dagster.lock", doing="upgrading Dagster's storage"),
        open_instance() as opened,
    ):
        opened.upgrade()
        opened.reindex()


def _load_scripts() -> ScriptDirectory:
    config = internals.get_alembic_config(dagster_postgres.__file__, "alembic/alembic.ini")
    return ScriptDirectory.from_config(config)


def _list_data_migrations() -> list[str]:
    return [
        *internals.REQUIRED_RUN_MIGRATIONS,
        *internals.OPTIONAL_RUN_MIGRATIONS,
        *internals.EVENT_LOG_DATA_MIGRATIONS,
        *internals.ASSET_DATA_MIGRATIONS,
        *internals.REQUIRED_SCHEDULE_DATA_MIGRATIONS,
        *internals.OPTIONAL_SCHEDULE_DATA_MIGRATIONS,
    ]
