"""What killed processes left behind in the staging folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

AGE_SECONDS = 24 * 3600
"""No load and no query takes longer."""


def remove_leftovers(staging: Path, *, dry_run: bool = False) -> list[tuple[str, int]]:
    """Remove folders of loads, and DuckDB's temporary files, a day after they were last written.

    Returns their names and bytes; with `dry_run` nothing is removed.
    """
    before, gone = time.time() - AGE_SECONDS, []
    for path in sorted([*staging.glob("load-*"), *(staging / "duckdb").glob("*")]):
        files = list(_walk(path))
        if any(file.lstat().st_mtime >= before for file in [path, *files] if file.exists()):
            continue
        size = sum(file.lstat().st_size for file in files if file.is_file())
        if not dry_run:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        gone.append((path.name, size))
    return gone


def _walk(path: Path) -> Iterator[Path]:
    yield from path.rglob("*") if path.is_dir() else [path]
