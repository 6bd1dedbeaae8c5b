"""Small dbt projects of a test's own, with the platform's macros, and builds of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from millpond.lake.spec import Replacement, TableSpec
from millpond.lake.tables import replace
from millpond.partitions import Window
from millpond.transform.results import AuditFailed, BuildResult
from millpond.transform.runner import build

_PROJECT = """
name: small
version: 1.0.0
config-version: 2
profile: millpond
vars: {timezone: UTC, start_date: "2024-01-01"}
flags: {send_anonymous_usage_stats: false}
models: {small: {+schema: silver, +materialized: table}}
seeds: {small: {+schema: silver}}
snapshots: {small: {+schema: silver}}
"""
Write = Callable[[dict[str, str]], None]


def write_files(root: Path, files: dict[str, str]) -> None:
    """Write files of the dbt project below `root`, which is made first if it is not there."""
    folder = root / "dbt"
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "dbt_project.yml").write_text(_PROJECT)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def load(name: str, rows: pa.Table) -> None:
    """Make the raw table `name` hold `rows`."""
    replace([Replacement(TableSpec(f"raw.{name}", rows.schema), rows, None)], ref="main", run_id="test")


def built(names: list[str], window: Window | None = None) -> tuple[BuildResult, str]:
    """Return the result of a build, merged or not, and the text of the error if there is one."""
    try:
        return build(names, window, ref="main", run_id="test"), ""
    except AuditFailed as failure:
        return failure.result, str(failure)
