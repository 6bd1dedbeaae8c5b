"""dlt reads its configuration for each load, and derives what its types are once for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dlt.common.configuration import is_secret_hint, resolve
from dlt.common.configuration.providers import environ

from millpond.ingestion.staging import stage_pages
from millpond.internals.dlt import remember_secret_hints


def stage(folder: Path) -> None:
    folder.mkdir()
    stage_pages(lambda: (pa.table({"row": [n]}) for n in range(1)), folder)


def test_dlt_derives_once_whether_a_type_is_one_of_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage(tmp_path / "first")
    asked: list[Any] = []

    def count(hint: Any) -> bool:
        asked.append(hint)
        return is_secret_hint(hint)

    for module in ("dlt.common.configuration", resolve.__name__, environ.__name__):
        monkeypatch.setattr(f"{module}.is_secret_hint", count)
    remember_secret_hints()
    for name in ("second", "third"):
        stage(tmp_path / name)
    assert len(asked) == len({id(hint) for hint in asked}) > 0
