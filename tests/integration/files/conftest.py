"""Every test here has an empty home, and a folder that files are dropped into."""

from __future__ import annotations

from pathlib import Path

import pytest
from file_sources import Drop


@pytest.fixture
def drop(home: object, tmp_path: Path) -> Drop:
    folder = tmp_path / "drop"
    folder.mkdir()
    return Drop(folder)
