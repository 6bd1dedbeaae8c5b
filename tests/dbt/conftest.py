"""The parsed dbt project, and small ones of a test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.settings import Settings
from parsed_project import document, models, parsed, project, unit_database  # noqa: F401 - fixtures
from small_projects import Write, write_files


@pytest.fixture
def write_project(configure: Callable[..., Settings], tmp_path: Path) -> Write:
    """Return a function that makes a dbt project of files the one in use, with the platform's macros."""

    def written(files: dict[str, str]) -> None:
        write_files(tmp_path, files)
        configure(project=tmp_path)

    return written
