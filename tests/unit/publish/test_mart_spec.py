"""What `meta.publish` may say, and how a mistake in it is told."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.publish.spec import read_marts


def manifest(publish: Any, **more: Any) -> dict[str, Any]:
    """Return as much of dbt's manifest as one model takes."""
    node = {
        "resource_type": "model",
        "name": "mrt_days",
        "alias": "mrt_days",
        "schema": "gold",
        "fqn": ["millpond", "gold", "climate", "mrt_days"],
        "original_file_path": "models/gold/mrt_days.sql",
        "description": "One row per day.\n",
        "config": {"group": "growing", "meta": {} if publish is None else {"publish": publish}},
        "columns": {n: {"name": n, "data_type": "date", "description": f"The {n}."} for n in ("day", "rows")},
        "tags": [],
        **more,
    }
    groups = {"group.growing": {"name": "growing", "owner": {"name": "Growing", "email": None}}}
    return {"nodes": {"model.lakehouse.mrt_days": node}, "groups": groups}


def test_a_declaration_becomes_a_mart_with_the_models_descriptions() -> None:
    (mart,), _ = read_marts(manifest({"key": ["day"], "indexes": ["rows", ["rows", "day"]]}))
    assert (mart.name, mart.table, mart.owner) == ("mrt_days", "gold.mrt_days", "team:growing")
    assert mart.declared.key == ("day",)
    assert mart.declared.indexes == (("rows",), ("rows", "day"))
    assert mart.declared.mode == "changes"
    assert mart.domain == "climate", "the model's folder, where meta names no domain"
    assert mart.description == "One row per day."
    assert mart.comments == {"day": "The day.", "rows": "The rows."}


def test_a_model_that_declares_nothing_is_no_mart() -> None:
    assert read_marts(manifest(None)) == ([], [])


@pytest.mark.parametrize(
    ("publish", "message"),
    [
        ({"key": ["day"], "colour": "red"}, "colour: Extra inputs"),
        ({"indexes": []}, "key: Field required"),
        ({"key": []}, "key: Tuple should have at least 1 item"),
        ({"key": "day"}, "key: Input should be a valid tuple"),
        ({"key": ["day"], "mode": "upsert"}, "mode: Input should be 'changes' or 'all'"),
        ({"key": ["days"]}, "names the column 'days'"),
        ({"key": ["day"], "indexes": [["day", "row"]]}, "names the column 'row'"),
        (["day"], "valid dictionary"),
    ],
)
def test_a_mistake_is_told_with_the_model_and_the_place(publish: Any, message: str) -> None:
    found, (refused,) = read_marts(manifest(publish))
    assert found == [], "which keeps no other mart from being one"
    assert "meta.publish of model mrt_days (models/gold/mrt_days.sql)" in refused.what
    assert message in refused.what
    assert refused.next_step


def test_a_name_that_postgres_cannot_carry_is_refused() -> None:
    _, (refused,) = read_marts(manifest({"key": ["day"]}, alias='x";drop'))
    assert "mart 'x\";drop' is not a valid identifier" in refused.what


def test_a_mart_is_made_from_the_asset_of_its_model_whatever_its_table_is_called() -> None:
    found = manifest({"key": ["day"]}, alias="days", unique_id="model.lakehouse.mrt_days")
    assert [(mart.name, mart.model) for mart in read_marts(found)[0]] == [("days", "mrt_days")]
    (mart,), _ = read_marts(found, {"model.lakehouse.mrt_days": "finance/days"})
    assert (mart.name, mart.table, mart.model) == ("days", "gold.days", "finance/days")
