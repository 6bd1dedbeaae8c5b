"""A mistyped name is refused by the names of the last command, and only while nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.cli.startup import AssetNames
from millpond.errors import ConfigError
from millpond.settings import Settings


def test_what_is_no_name_of_the_same_project_is_refused_and_nothing_else(tmp_path: Path) -> None:
    names = AssetNames(tmp_path / "names.json", "as it is")
    names.refuse_unknown("dlt_b")
    names.keep(["marts/overview", "dlt_a"])
    for selection in (
        "dlt_a",
        "+dlt_a*",
        "marts/overview, dlt_a",
        "*",
        "group:x",
        'key:"x" or key:"y"',
        "tag:x",
    ):
        names.refuse_unknown(selection)
    for selection, meant in (("dlt_b", "dlt_a"), ("dlt_a,+dlt_b*", "dlt_a"), ("overview", "marts/overview")):
        with pytest.raises(ConfigError) as refused:
            names.refuse_unknown(selection)
        assert refused.value.next_step == f"did you mean {meant}?"
    AssetNames(names.file, "as it was").refuse_unknown("dlt_b")
    names.file.write_text("{")
    names.refuse_unknown("dlt_b")


def test_names_are_of_one_state_of_models_and_sources_and_of_none_with_sources_in_python(
    tmp_path: Path, configure: Callable[..., Settings]
) -> None:
    configure(project=tmp_path)
    for folder in ("dbt/models", "sources"):
        (tmp_path / folder).mkdir(parents=True)
    seen = []
    for file in ("dbt/dbt_project.yml", "dbt/models/a.sql", "sources/b.yaml"):
        (tmp_path / file).write_text("x")
        seen.append(AssetNames.now().project)
    (tmp_path / "sources" / "b.yaml").write_text("y")
    assert len({*seen, AssetNames.now().project}) == 4
    (tmp_path / "sources" / "c.py").write_text("")
    python = AssetNames.now()
    python.keep(["dlt_a"])
    python.refuse_unknown("dlt_b")
