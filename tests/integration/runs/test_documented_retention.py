"""docs/retention.md says of every table and folder of a home how long its content is kept."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import dagster as dg

from millpond.instance.retention_rules import RULES
from millpond.runtime.databases import databases
from millpond.runtime.home import Home
from millpond.settings import PREFIX, Settings

_PAGE = Path(__file__).resolve().parents[3] / "docs" / "retention.md"
_LINE = re.compile(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def read_page() -> dict[str, tuple[str, str]]:
    """Return how long each table and folder is kept and what removes it, as the page says."""
    found = _LINE.findall(_PAGE.read_text())
    assert len(found) == len({name for name, *_ in found})
    return {name: (kept, by) for name, kept, by in found if not name.startswith(PREFIX)}


def list_tables() -> set[str]:
    found = set()
    for key, schema in (("dagster", "public"), ("catalog", "catalog"), ("ops", "ops")):
        with getattr(databases(), key).connect() as connection:
            rows = connection.execute("select tablename from pg_tables where schemaname = %s", (schema,))
            found |= {f"{key}.{name}" for (name,) in rows.fetchall()}
    return found


def test_the_page_has_a_line_for_every_table_and_folder_and_no_other(recorded: dg.DagsterInstance) -> None:
    folders = {field.name for field in fields(Home)} - {"root"}
    of_example = {"ops.forecast_decisions"}  # there where the example has run
    assert set(read_page()) - of_example == (list_tables() - of_example) | folders | {"marts"}


def test_maintenance_removes_from_the_tables_that_the_page_says(recorded: dg.DagsterInstance) -> None:
    said = {name for name, (_, by) in read_page().items() if "maintenance" in by and "." in name}
    with_another = {
        *("catalog.lake_refs", "catalog.lake_held", "catalog.lake_pins"),  # by what drops branches and pins
        *("ops.alert_deliveries", "ops.backfill_chunks", "ops.backfill_partitions", "dagster.run_tags"),
    }
    assert said - with_another == {f"{rule.database}.{rule.table}" for rule in RULES}


def test_the_page_names_settings_with_their_defaults() -> None:
    named = re.findall(rf"^\| `{PREFIX}(\w+)`(?:, `…_COUNT`)? \| (\d+)", _PAGE.read_text(), re.MULTILINE)
    assert len(named) == 7
    for name, default in named:
        assert Settings.model_fields[name.lower()].default == int(default)
