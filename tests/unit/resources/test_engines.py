"""The resources `trino` and `iceberg` take their fields from the settings, and no secret with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from millpond.errors import ConfigError
from millpond.resources.engines import IcebergResource, TrinoResource, build_resources
from millpond.settings import Settings

SECRET = "canary-11d0"
SCALE = {
    "profile": "scale",
    "iceberg_warehouse_path": "s3://lake/warehouse",
    "s3_endpoint": "http://s3:9000",
    "s3_access_key": "key",
    "s3_secret_key": SECRET,
    "trino_host": "trino",
    "trino_port": 8443,
    "trino_http_scheme": "https",
    "trino_password": SECRET,
    "postgres_host": "postgres",
    **{f"postgres_{role}_password": SECRET for role in ("dagster", "catalog", "ops", "marts", "read")},
}


def test_fields_are_the_settings(configure: Callable[..., Settings]) -> None:
    made = build_resources(configure(**SCALE))
    trino, iceberg = made["trino"], made["iceberg"]
    assert isinstance(trino, TrinoResource)
    assert isinstance(iceberg, IcebergResource)
    assert (trino.trino_host, trino.trino_port, trino.trino_http_scheme) == ("trino", 8443, "https")
    assert (iceberg.iceberg_warehouse_path, iceberg.s3_endpoint) == ("s3://lake/warehouse", "http://s3:9000")


def test_what_dagster_shows_holds_no_secret_and_what_connects_has_it(
    configure: Callable[..., Settings],
) -> None:
    made = build_resources(configure(**SCALE))
    assert SECRET not in repr(made)
    iceberg = made["iceberg"]
    assert isinstance(iceberg, IcebergResource)
    assert iceberg.properties()["s3.secret-access-key"] == SECRET


def test_keys_given_to_the_resource_win(configure: Callable[..., Settings]) -> None:
    configure(**SCALE)
    iceberg = IcebergResource(
        iceberg_warehouse_path="s3://other",
        iceberg_staging_path="staging",
        s3_access_key="a",
        s3_secret_key="b",
    )
    told = iceberg.properties()
    assert (told["warehouse"], told["s3.access-key-id"], told["s3.secret-access-key"]) == (
        "s3://other",
        "a",
        "b",
    )


def test_without_a_host_trino_says_which_setting_is_missing(configure: Callable[..., Settings]) -> None:
    trino = build_resources(configure())["trino"]
    assert isinstance(trino, TrinoResource)
    with pytest.raises(ConfigError) as error:
        trino.connect()
    assert "MILLPOND_TRINO_HOST" in error.value.next_step
