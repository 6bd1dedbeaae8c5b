"""What the lake is called on Trino: one catalog for each ref, whatever SQL calls it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from millpond.lake.trino import catalog_name, is_server_error, set_catalog
from millpond.settings import Settings

QUERY_ERROR = {"errorName": "X", "errorType": "USER_ERROR", "message": "m", "errorCode": 1}


@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        ('select * from "lake"."gold"."a"', 'select * from "lake_dev"."gold"."a"'),
        (
            "select * from lake.gold.a join Lake.raw.b",
            'select * from "lake_dev".gold.a join "lake_dev".raw.b',
        ),
        ("select * from gold.a", "select * from gold.a"),
        ("select lake.depth from other.lake.gold", "select lake.depth from other.lake.gold"),
        ("select 1 from mylake.gold.a, lake.golden.b", "select 1 from mylake.gold.a, lake.golden.b"),
        ("from lake.information_schema.tables", 'from "lake_dev".information_schema.tables'),
    ],
)
def test_sql_is_sent_to_the_catalog_of_its_ref(sql: str, seen: str) -> None:
    assert set_catalog(sql, "dev") == seen
    assert catalog_name("main") == "lake"


def test_installations_that_share_a_trino_have_catalogs_of_their_own(
    configure: Callable[..., Settings],
) -> None:
    configure(trino_catalog="sales")
    assert (catalog_name("main"), catalog_name("dev")) == ("sales", "sales_dev")
    assert set_catalog('from "lake"."gold"."a"', "main") == 'from "sales"."gold"."a"'


@pytest.mark.parametrize(
    ("name", "kind", "passing"),
    [
        ("SYNTAX_ERROR", "USER_ERROR", False),
        ("DIVISION_BY_ZERO", "USER_ERROR", False),
        ("CATALOG_NOT_FOUND", "USER_ERROR", True),
        ("ICEBERG_FILESYSTEM_ERROR", "EXTERNAL", True),
        ("NO_NODES_AVAILABLE", "INSUFFICIENT_RESOURCES", True),
        ("SERVER_SHUTTING_DOWN", "INTERNAL_ERROR", True),
    ],
)
def test_a_broken_server_is_told_from_a_wrong_statement(name: str, kind: str, passing: bool) -> None:
    from trino.exceptions import TrinoQueryError

    error = TrinoQueryError({**QUERY_ERROR, "errorName": name, "errorType": kind})
    assert is_server_error(error) is passing
