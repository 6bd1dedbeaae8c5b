"""The code version of a model changes with whatever its rows are computed by, and with nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from millpond.settings import settings
from millpond.transform.invocation import get_variables
from millpond.transform.manifest import load_project
from millpond.transform.translator import compute_code_version

DAILY, READINGS, OVERVIEW = (
    f"model.lakehouse.{name}"
    for name in ("fct_daily_climate_metrics", "fct_climate_readings", "mrt_climate_overview")
)
Document = dict[str, Any]


def changed(model: str, change: Callable[[Document], object], **variables: object) -> bool:
    """Return whether a model's version is another one after a change of the manifest or of variables."""
    document, given = load_project(settings()).document(), get_variables(settings())
    after = copy.deepcopy(document)
    change(after)
    return compute_code_version(document["nodes"][model], document, given) != compute_code_version(
        after["nodes"][model], after, given | variables
    )


def replaced(macro: str) -> Callable[[Document], object]:
    def change(document: Document) -> None:
        document["macros"][f"macro.millpond.{macro}"]["macro_sql"] += " -- another"

    return change


def test_it_changes_with_the_sql_of_the_model() -> None:
    assert changed(DAILY, lambda d: d["nodes"][DAILY].update(raw_code="select 1"))
    assert not changed(DAILY, lambda d: d["nodes"][READINGS].update(raw_code="select 1"))


@pytest.mark.parametrize(
    ("model", "macro"),
    [
        (DAILY, "percentile"),
        (DAILY, "duckdb__percentile"),
        (READINGS, "duckdb__local_time"),
        (READINGS, "date_literal"),
    ],
)
def test_it_changes_with_macros_that_macros_call(model: str, macro: str) -> None:
    assert changed(model, replaced(macro))


def test_it_does_not_change_with_macros_that_are_not_called() -> None:
    assert not changed(OVERVIEW, replaced("duckdb__percentile"))
    assert not changed(DAILY, replaced("trino__percentile"))


def test_it_changes_with_a_variable_that_is_used_and_no_other() -> None:
    assert changed(READINGS, lambda _: None, timezone="Asia/Kolkata")
    assert not changed(OVERVIEW, lambda _: None, timezone="Asia/Kolkata")


def test_it_changes_with_the_content_of_a_seed_that_is_read() -> None:
    def with_seed(content: str) -> str:
        document = copy.deepcopy(load_project(settings()).document())
        document["nodes"]["seed.lakehouse.targets"] = {"checksum": {"name": "sha256", "checksum": content}}
        node = document["nodes"][OVERVIEW]
        node["depends_on"]["nodes"].append("seed.lakehouse.targets")
        return compute_code_version(node, document, {})

    assert with_seed("a") != with_seed("b")


def test_it_does_not_change_with_what_the_yml_says_to_people() -> None:
    def described(document: Document) -> None:
        document["nodes"][DAILY]["description"] = "Other words."
        document["nodes"][DAILY]["columns"]["avg_lux"]["description"] = "Other words."

    assert not changed(DAILY, described)
