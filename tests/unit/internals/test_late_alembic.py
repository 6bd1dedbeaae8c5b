"""Dagster's storages do without alembic until its tables are created, examined or migrated."""

from __future__ import annotations

import json
import subprocess
import sys

_CODE = """
import json, sys
import millpond.cli.progress, millpond.instance.storage
import dagster_postgres
from dagster._core.storage import sql

before = [name for name in sys.modules if name.startswith(("alembic", "mako"))]
config = sql.get_alembic_config(dagster_postgres.__file__, "alembic/alembic.ini")
head = sql.ScriptDirectory.from_config(config).get_current_head()
import alembic.config
print(json.dumps([before, bool(head), type(config) is alembic.config.Config]))
"""


def test_alembic_is_imported_when_dagster_uses_it_and_not_before() -> None:
    done = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], True, True]
