"""DuckDB, in this process: what the profile embedded builds with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from millpond.transform.data_tests import DataTest
from millpond.transform.results import CheckResult


class DuckEngine:
    """See `engine.Engine`."""

    target = "embedded"
    kind = "duckdb"

    def prepare(self) -> None:
        """Nothing: dbt-duckdb loads our plugin by itself."""

    def warm_up(self) -> None:
        """Import what a build needs."""
        from millpond.transform import plugin

        assert plugin

    def audit(self, tests: Sequence[DataTest], ref: str) -> list[CheckResult]:
        """Run data tests on a ref, over the DuckDB that dbt has open if it has one."""
        import duckdb

        from millpond.lake import duck
        from millpond.transform.audit import Refused, audit
        from millpond.transform.invocation import LOCK

        plugin = sys.modules.get("millpond.transform.plugin")  # which brings in dbt
        of_dbt = plugin.Plugin.newest if plugin else None
        with LOCK, (of_dbt and of_dbt.cursor(ref)) or duck.connect(ref) as connection:

            def ask(sql: str) -> tuple[list[str], Sequence[Sequence[Any]]]:
                try:
                    found = connection.execute(sql)
                    return [column[0] for column in found.description or ()], found.fetchall()
                except duckdb.Error as error:
                    raise Refused(str(error)) from error

            return audit(tests, ask)

    def enter(self, ref: str) -> None:
        """Nothing: the plugin shows the branch."""

    def leave(self, ref: str) -> None:
        """Nothing: the next build shows its own ref."""


ENGINE = DuckEngine()
