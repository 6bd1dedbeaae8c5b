"""Checks of dbt tests say what they test: by a description always, by a short name where that is chosen."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.transform.check_names import shorten_check_name
from millpond.transform.checks import describe_test

STATUS = ["placed", "<b>", "it's"]
VALUES = "accepted_values_orders_status__placed__b__it_s"


def make_test(name: str, test: str = "", namespace: str | None = None, **arguments: Any) -> dict[str, Any]:
    kind = {"name": test, "namespace": namespace, "kwargs": {"model": "{{ … }}", **arguments}}
    column = arguments.get("column_name")
    return {"name": name, "test_metadata": kind if test else None, "column_name": column, "description": ""}


@pytest.mark.parametrize(
    ("node", "short", "description"),
    [
        (make_test("orders_key", "has_key", "millpond", columns=["a"]), "key", "has_key (columns: ['a'])."),
        (make_test("orders_are_paid"), "are_paid", ""),
        (make_test("orders"), "orders", ""),
        (make_test("nothing_to_do_with_it"), "nothing_to_do_with_it", ""),
        (make_test("not_null_orders_id", "not_null", column_name="id"), "not_null_id", "id is never null."),
        (make_test("source_unique_shop_orders_id", "unique", column_name="id"), "unique_id", "id is unique."),
        (
            make_test(VALUES, "accepted_values", column_name="status", values=STATUS),
            "accepted_values_status",
            "status is one of placed, <b>, it's.",
        ),
        (
            make_test(
                "relationships_orders_customer_id__id__ref_customers_",
                *("relationships",),
                column_name="customer_id",
                to="ref('customers')",
                field="id",
            ),
            "relationships_customer_id",
            "customer_id is among id of customers.",
        ),
        (
            make_test("dbt_utils_at_least_one_orders_b", "at_least_one", "dbt_utils", column_name='"b c"'),
            "at_least_one_b_c",
            'at_least_one of "b c".',
        ),
    ],
)
def test_a_check_has_a_short_name_and_a_sentence(node: dict[str, Any], short: str, description: str) -> None:
    assert shorten_check_name(node, "orders") == short
    assert describe_test(node) == description


def test_a_description_of_ones_own_comes_first() -> None:
    node = make_test("not_null_orders_id", "not_null", column_name="id")
    assert describe_test({**node, "description": " Each order\n has one. "}) == "Each order has one."
