"""What the profile scale needs is refused by name when it is missing or contradicts the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_settings import refused

from millpond.settings import (
    PREFIX,
    read_settings,
)


def test_scale_takes_the_usual_ports_and_keeps_its_secrets(scale: None) -> None:
    found = read_settings()
    assert (found.postgres_port, found.trino_port) == (5432, 8080)
    assert found.iceberg_warehouse_path == "s3://lake/warehouse"
    assert sorted(found.role_passwords)[0] == "millpond_catalog"
    assert "canary-71aa" not in f"{found!r} {found.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POSTGRES_HOST", "", "MILLPOND_POSTGRES_HOST=postgres"),
        ("TRINO_HOST", "", "MILLPOND_TRINO_HOST=trino"),
        ("POSTGRES_OPS_PASSWORD", "", "MILLPOND_POSTGRES_OPS_PASSWORD"),
        ("ICEBERG_WAREHOUSE_PATH", "lake", "s3://lake/warehouse"),
        ("ICEBERG_WAREHOUSE_PATH", "", "s3://lake/warehouse"),
        ("S3_SECRET_KEY", "", "MILLPOND_S3_SECRET_KEY"),
        ("S3_ACCESS_KEY", "", "MILLPOND_S3_ACCESS_KEY"),
        ("S3_ENDPOINT", "s3:9000", "http://"),
        ("CATALOG", "nessie", "MILLPOND_NESSIE_URI=http://nessie:19120"),
        ("CATALOG", "glue", "nessie"),
        ("TRINO_PASSWORD", "canary-71aa", "MILLPOND_TRINO_HTTP_SCHEME=https"),
        ("PROFILE", "embedded", "MILLPOND_PROFILE=scale"),
    ],
)
def test_what_contradicts_scale_is_refused_by_name_with_an_example(
    scale: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    error = refused(PREFIX + name, value, monkeypatch)
    assert said in str(error)
    assert "canary-71aa" not in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CATALOG", "nessie"),
        ("POSTGRES_HOST", "postgres"),
        ("ICEBERG_WAREHOUSE_PATH", "s3://lake/warehouse"),
    ],
)
def test_embedded_refuses_servers_of_scale(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert f"{PREFIX}{name}={value}" in refused(PREFIX + name, value, monkeypatch).what
