"""What a command imports before it answers is bounded, in modules: a person waits for every one of them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import Final

import pytest

from documented import commands
from millpond.settings import process_environment

HEAVY: Final = (
    *("alembic", "dagster", "dbt", "dlt", "duckdb", "grpc", "numpy", "pandas", "psycopg", "pyarrow"),
    *("pydantic", "pyiceberg", "requests", "rich", "sqlalchemy", "sqlglot", "yaml"),
)
"""Packages that take long to import, with what they bring along."""
_DATABASE: Final = frozenset({"psycopg", "pydantic"})
_SHOWN: Final = _DATABASE | {"rich", "yaml"}
_QUERY: Final = _SHOWN | {"duckdb"}
_ICEBERG: Final = _QUERY | {"numpy", "pyarrow", "pyiceberg"}
_CATALOG: Final = _ICEBERG | {"requests", "sqlalchemy"}
_RUNS: Final = _ICEBERG | {"dagster", "sqlalchemy"}

BOUNDS: Final = {
    "--version": (290, frozenset()),
    "--help": (420, frozenset({"rich"})),
    "backfill run --help": (560, frozenset({"pydantic", "rich"})),
    "sql 'select 1'": (600, _QUERY),
    "status": (640, _SHOWN),
    "sources list": (660, _QUERY),
    "history": (840, _ICEBERG),
    "config show": (430, frozenset({"pydantic", "rich"})),
}
"""The most modules of each command, and which of HEAVY it may load."""
MORE: Final = {
    "alerts list": (800, _CATALOG),
    "backfill list": (580, _SHOWN),
    "bi status": (560, _SHOWN),
    "branch list": (1010, _CATALOG),
    "catalog tokens": (540, _SHOWN),
    "doctor": (2200, _RUNS | {"alembic"}),
    "env": (640, _SHOWN),
    "materialize no_asset": (1950, _RUNS),
    "sources held": (540, _SHOWN),
    "tables history gold.no_table": (540, _SHOWN),
}
"""The same, of commands that are typed less often."""
_PARSED: Final = {"doctor", "materialize no_asset"}
"""These load the definitions, and the first one in a home parses the dbt project, once."""

OTHERS: Final = {
    *("alerts close", "alerts resend", "alerts show", "alerts silence", "alerts test"),
    *(
        "automation list",
        "automation pause",
        "automation preview",
        "automation resume",
        "backfill cancel",
        "backfill show",
        "backup create",
    ),
    *("backup verify", "bi check", "bi down", "bi export", "bi import", "bi up", "branch clean"),
    *(
        "branch create",
        "branch diff",
        "branch show",
        "branch drop",
        "branch merge",
        "catalog revoke",
        "catalog serve",
        "catalog token",
    ),
    *("dashboard", "demo", "docs", "down", "init", "maintain", "mcp", "provision"),
    *(
        "quarantine discard",
        "quarantine list",
        "quarantine replay",
        "quarantine show",
        "reconcile",
        "reload",
        "report",
    ),
    *(
        "restore",
        "retire",
        "sources accept",
        "sources check",
        "sources migrate",
        "sources moved",
        "sources new",
        "sources preview",
    ),
    *("sources reset", "sources schema", "tables rollback", "undo", "up", "upgrade", "wipe"),
}
"""Commands that change something, serve, load the definitions, or need what an empty home does not hold."""

_LOOK: Final = f"""
import json, sys
from millpond.cli.entry import load_and_run
try:
    load_and_run()
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps([len(sys.modules), [name for name in {HEAVY!r} if name in sys.modules]]))
sys.exit(code)
"""


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("typed", [*BOUNDS, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE)])
def test_a_command_imports_no_more_than_it_needs(typed: str) -> None:
    most, allowed = (BOUNDS | MORE)[typed]
    for _ in range(2 if typed in _PARSED else 1):
        done = subprocess.run(
            [sys.executable, "-c", _LOOK, *shlex.split(typed)],
            env=process_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode in (0, 1, 2), done.stderr  # 1, 2: what it looks at is wrong, or not there
    loaded, heavy = json.loads(done.stdout.splitlines()[-1])
    assert set(heavy) <= allowed, f"millpond {typed} loads what it need not; import it where it is used"
    assert loaded <= most, f"millpond {typed} loads {loaded} modules; at most {most} are allowed"


def test_each_command_has_a_bound_or_is_one_of_those_that_cannot() -> None:
    bound = {name for name, _ in commands() for typed in BOUNDS | MORE if f"{typed} ".startswith(f"{name} ")}
    assert {name for name, _ in commands() if not name.startswith("forecast ")} - bound == OTHERS


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("parsed", [False, True])
def test_what_a_run_imports_is_imported_ahead_only_while_a_companion_parses(parsed: bool) -> None:
    program = (
        "import sys\n"
        "from millpond.cli.startup import load_definitions\n"
        "from millpond.runtime import companion\n"
        "from millpond.transform import manifest\n"
        "companion._running['millpond.transform'] = None\n"
        f"manifest.is_parsed = lambda _: {parsed}\n"
        "load_definitions()\n"
        "print('millpond.ingestion.load' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=process_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(not parsed)
