"""Tables without days: loaded whole, never emptied in silence, assets without partitions."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from millpond.errors import RowsHeldBack, TooManyBadRows
from millpond.ingestion.assets import build_assets
from millpond.ingestion.load import load
from millpond.ingestion.results import LoadResult
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.quality.checks import build_checks

served: list[dict[str, Any]] = []


def products() -> list[dict[str, Any]]:
    return served


SPEC = SourceSpec.model_validate(
    {
        "source": "shop",
        "tables": [
            {
                "name": "products",
                "resource": products,
                "load": "whole",
                "key": ["id"],
                "columns": {
                    "id": "int",
                    "price": {"type": "decimal(10,2)", "min": 0, "on_bad": "quarantine"},
                },
                "quarantine": {"fail_above": 0.5},
            }
        ],
    }
)


def take(rows: list[dict[str, Any]], **more: Any) -> LoadResult:
    served[:] = rows
    return load(SPEC, SPEC.tables[0], None, ref="main", run_id="test", **more)


def some(count: int, price: str = "1.10") -> list[dict[str, Any]]:
    return [{"id": number, "price": price} for number in range(count)]


def loaded() -> list[int]:
    return sorted(read.scan("main", "raw.products")["id"].to_pylist())


def test_the_table_is_replaced_whole_and_values_keep_their_digits(home: object) -> None:
    take(some(30))
    result = take(some(31, "2.20"))
    assert loaded() == list(range(31))
    assert {str(price) for price in read.scan("main", "raw.products")["price"].to_pylist()} == {"2.20"}
    assert [p.partition for p in result.partitions] == [None]
    assert "_partition_date" not in read.scan("main", "raw.products").column_names


def test_the_same_rows_commit_nothing(home: object) -> None:
    first, again = take(some(3)), take(list(reversed(some(3))))
    assert first.partitions[0].snapshot_id == again.partitions[0].snapshot_id


@pytest.mark.parametrize("left", [0, 10])
def test_a_table_that_lost_its_rows_is_kept_until_somebody_accepts_it(home: object, left: int) -> None:
    take(some(40))
    result = take(some(left))
    (error,) = result.failed.values()
    assert isinstance(error, RowsHeldBack)
    assert "--accept-shrink" in error.next_step
    assert loaded() == list(range(40))
    take(some(left), accept_shrink=True)
    assert loaded() == list(range(left))


def test_bad_rows_are_kept_and_too_many_of_them_leave_the_table_as_it_was(home: object) -> None:
    take([*some(20), {"id": 50, "price": "-1"}])
    assert (len(loaded()), read.count("main", "quarantine.products")) == (20, 1)
    result = take([{"id": number, "price": "-1"} for number in range(20)])
    (error,) = result.failed.values()
    assert isinstance(error, TooManyBadRows)
    assert str(error).startswith("dlt_products: ")
    assert len(loaded()) == 20


@pytest.mark.parametrize("write", ["upsert", "append"])
def test_it_is_replaced_and_nothing_else(write: str) -> None:
    table = SPEC.tables[0].model_dump(exclude_unset=True, exclude={"resource"}) | {"write": write}
    with pytest.raises(ValueError, match="a table that is loaded whole is replaced"):
        SourceSpec.model_validate({"source": "shop", "tables": [{**table, "resource": products}]})


def test_its_asset_has_no_partitions_and_its_checks_pass_and_fail_with_the_lake(home: object) -> None:
    served[:] = some(25)
    assets, checks = build_assets([SPEC]), build_checks([SPEC])
    assert assets[0].partitions_def is None
    with dg.instance_for_test() as instance:
        result = dg.materialize([*assets, *checks], instance=instance)
        assert result.success
        evaluations = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert evaluations == {"reconciliation": True, "no_null_id": True}
