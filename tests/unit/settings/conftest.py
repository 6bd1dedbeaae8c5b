"""A project with a source, and the settings of the profile scale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.settings import PREFIX, Settings

SCALE = {
    "PROFILE": "scale",
    "ICEBERG_WAREHOUSE_PATH": "s3://lake/warehouse/",
    "POSTGRES_HOST": "postgres",
    "TRINO_HOST": "trino",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "canary-71aa",
    **{f"POSTGRES_{role}_PASSWORD": "canary-71aa" for role in ("DAGSTER", "CATALOG", "OPS", "MARTS", "READ")},
}


@pytest.fixture
def scale(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SCALE.items():
        monkeypatch.setenv(PREFIX + name, value)


@pytest.fixture
def project(tmp_path: Path, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yaml").touch()
    (tmp_path / "sources" / "weather.py").touch()
    (tmp_path / "sources" / "_shared.py").touch()
    monkeypatch.delenv(f"{PREFIX}HOME")
    monkeypatch.delenv(f"{PREFIX}DASHBOARD")
    configure(project=tmp_path)
    return tmp_path
