"""Apache's compatibility kit for Iceberg REST catalogs finds nothing wrong with this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from compatibility_kit import run_kit, served_home

pytestmark = pytest.mark.scale


def test_every_test_of_the_kit_passes_but_those_for_other_kinds_of_catalogs(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o711)  # as root, Postgres runs as another user
    with served_home(tmp_path) as (uri, token):
        score = run_kit(uri, token)
    assert not score.failed, str(score)
    assert score.passed >= 144
    assert score.skipped <= 12
