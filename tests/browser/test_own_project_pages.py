"""Somebody's own source, model and asset stand in Dagster's pages as the platform's do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import tutorial
from millpond.project.create import create
from newcomers import environment_with, typed

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Dagster's pages over the project that the tutorial ends with."""
    project = create(tmp_path_factory.mktemp("own") / "pond", "empty")
    found = environment_with(Path(sys.executable).parent)
    found |= {"MILLPOND_DAGSTER_PORT": "0", "MILLPOND_CATALOG_PORT": "0"}
    try:
        with tutorial.serve_shop() as url:
            tutorial.write_tutorial(project, url)
            for command in (*tutorial.commands(), ["pytest", "-q", "-p", "no:cacheprovider"]):
                typed(found, project, *command)
            typed(found, project, "millpond", "up", "--detach")
            yield json.loads(typed(found, project, "millpond", "env", "--json"))["dagster_url"]
    finally:
        typed(found, project, "millpond", "down")


def test_an_own_source_model_and_asset_are_shown_with_what_they_were_made_from(page: Page) -> None:
    page.goto("/assets/my_report?view=overview")
    revenue = sum(float(str(row["amount"])) for row in tutorial.ORDERS)
    for shown in ("How much was ever sold.", "revenue", f"{revenue:g}"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible()
    page.goto("/assets/best_hour?view=partitions&partition=2026-11-01")
    expect(page.get_by_text("Materialized").first).to_be_visible()
    page.goto("/assets/daily_sales?view=lineage")
    for neighbour in ("dlt_orders", "best_hour"):
        expect(page.get_by_text(neighbour, exact=True).first).to_be_visible()
