"""Fixtures: the parsed dbt project, and an empty DuckDB with its tables for what needs no lake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from millpond.settings import settings
from millpond.transform.invocation import get_project_folder
from millpond.transform.manifest import ParsedProject, load_project


@pytest.fixture
def parsed() -> ParsedProject:
    return load_project(settings())


@pytest.fixture
def document(parsed: ParsedProject) -> dict[str, Any]:
    return parsed.document()


@pytest.fixture
def models(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The model nodes of the manifest by name."""
    return {n["name"]: n for n in document["nodes"].values() if n["resource_type"] == "model"}


@pytest.fixture
def project() -> Path:
    return get_project_folder(settings())


@pytest.fixture
def unit_database(document: dict[str, Any], tmp_path: Path) -> Path:
    """A DuckDB file with an empty table for each model and source, typed as their columns declare."""
    path = tmp_path / "lake.duckdb"
    relations = [n for n in document["nodes"].values() if n["resource_type"] == "model"]
    relations += document["sources"].values()
    with duckdb.connect(str(path)) as connection:
        for relation in relations:
            columns = ", ".join(f'"{c["name"]}" {c["data_type"]}' for c in relation["columns"].values())
            connection.execute(f"create schema if not exists {relation['schema']}")
            connection.execute(f"create table {relation['schema']}.{relation['name']} ({columns})")
    return path
