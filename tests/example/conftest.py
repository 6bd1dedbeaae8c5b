"""Tests of the example: its sources, models and demo, and the commands that the documents show."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model_builds import build_all, table  # noqa: F401 - fixtures
from parsed_project import document, models, parsed, project, unit_database  # noqa: F401 - fixtures
from project_folders import in_example
from typed_commands import run, run_as_typed  # noqa: F401 - fixtures


@pytest.fixture(scope="module", autouse=True)
def _in_example() -> Iterator[None]:
    with in_example():
        yield
