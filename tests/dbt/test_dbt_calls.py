"""What dbt would compute in each call, kept: nobody sees what another call changed in it."""

from __future__ import annotations

import pytest
from dbt.clients import yaml_helper
from dbt.config import profile, project
from dbt_common.exceptions import DbtValidationError

from millpond.transform.dbt_patches import patch_dbt

_TEXT = "name: acme\nmodels:\n  acme: {+schema: gold, begin: 2026-11-01}\n"


@pytest.fixture(autouse=True)
def _patched() -> None:
    patch_dbt()


@pytest.mark.parametrize("of", [yaml_helper, profile, project])
def test_each_call_has_its_own_copy_of_a_project_file(of: object) -> None:
    load = of.load_yaml_text  # type: ignore[attr-defined]
    first = load(_TEXT)
    first["models"].clear()
    assert load(_TEXT) == yaml_helper.safe_load(_TEXT)


def test_doubled_keys_are_named_in_each_call() -> None:
    for _ in range(2):
        found, (failure,) = project.checked_load("name: acme\nname: emca\n")
        assert found == {"name": "emca"}
        assert "Duplicate key 'name'" in failure.message


def test_broken_yaml_is_refused_in_each_call() -> None:
    for _ in range(2):
        with pytest.raises(DbtValidationError, match="Syntax error near line 2"):
            yaml_helper.load_yaml_text("a: [")
