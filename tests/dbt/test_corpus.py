"""What Millpond makes of small dbt projects of one feature each; `corpus/features.yml` is the table."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from millpond.errors import ConfigError
from millpond.quality.freshness import declared_in_dbt
from millpond.settings import Settings, settings
from millpond.transform.assets import build_assets
from millpond.transform.exposures import exposure_specs
from millpond.transform.manifest import current
from millpond.transform.prepared import load_specs

FEATURES: dict[str, dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "corpus" / "features.yml").read_text()
)
PROJECT = """
name: small
version: 1.0.0
config-version: 2
profile: millpond
vars: {timezone: UTC, start_date: "2024-01-01"}
flags: {send_anonymous_usage_stats: false}
models: {small: {+database: lake, +schema: silver}}
"""
Write = Callable[[dict[str, str]], None]


@pytest.fixture
def write_project(configure: Callable[..., Settings], tmp_path: Path) -> Write:
    """Return a function that makes a dbt project of files the one in use."""
    profiles = settings().project / "dbt" / "profiles.yml"
    macros = settings().project / "dbt" / "macros"

    def written(files: dict[str, str]) -> None:
        folder = tmp_path / "dbt"
        folder.mkdir()
        (folder / "dbt_project.yml").write_text(PROJECT)
        (folder / "profiles.yml").symlink_to(profiles.resolve())
        (folder / "macros").mkdir()
        (folder / "macros" / "schema_name.sql").write_text((macros / "schema_name.sql").read_text())
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        configure(project=tmp_path)

    return written


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_of_dbt_comes_out_as_the_table_says(feature: str, write_project: Write) -> None:
    expected = FEATURES[feature]
    write_project(expected["files"])
    specs = {s.key.to_user_string(): s for a in build_assets() for s in a.specs}
    checks = {(c.asset_key.to_user_string(), c.name): c for a in build_assets() for c in a.check_specs}
    assert sorted(specs) == expected["assets"]
    assert [name for name in specs if specs[name].partitions_def] == expected.get("daily", [])
    refused = {key: model.refused for key, model in current(settings()).models().items() if model.refused}
    assert refused.keys() == expected.get("refused", {}).keys()
    assert all(words in refused[key] for key, words in expected.get("refused", {}).items())
    for name, deps in expected.get("deps", {}).items():
        assert sorted(d.asset_key.to_user_string() for d in specs[name].deps) == deps
    for name, found in expected.get("checks", {}).items():
        assert {c[1]: spec.blocking for c, spec in checks.items() if c[0] == name} == found
    parsed = current(settings())
    found = exposure_specs(parsed.document(), parsed.models(), {})
    read = {s.key.to_user_string(): [d.asset_key.to_user_string() for d in s.deps] for s in found}
    assert read == expected.get("exposures", {})
    fresh = declared_in_dbt(parsed.document(), parsed.models())
    seconds = {k.to_user_string(): [f.warn.total_seconds(), f.fail.total_seconds()] for k, f in fresh.items()}
    assert seconds == expected.get("fresh", {})
    assert [name for name in specs if specs[name].automation_condition] == expected.get("automated", [])
    for name, owners in expected.get("owners", {}).items():
        assert specs[name].owners == owners
    for name, group in expected.get("groups", {}).items():
        assert specs[name].group_name == group
    for name, tags in expected.get("tags", {}).items():
        assert set(tags) <= set(specs[name].tags)
    tests = {test["name"]: test for test in current(settings()).data_tests()}
    assert set(expected.get("audited", [])) <= {name for name, test in tests.items() if test["sql"]}


def test_loading_the_specs_of_a_parsed_project_imports_neither_dbt_nor_dagster_dbt() -> None:
    current(settings())
    code = (
        "import sys; from millpond.transform.assets import build_assets; assert len(build_assets()) > 2;"
        " print([name for name in sys.modules if name.split('.')[0] in ('dbt', 'dbt_common', 'dagster_dbt')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert found.stdout.strip() == "[]", found.stdout


def test_a_subclass_of_the_translator_decides_how_models_appear(
    configure: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "our_translator.py").write_text(
        "from millpond.transform.translator import MillpondDbtTranslator\n\n"
        "class Ours(MillpondDbtTranslator):\n"
        "    def get_group_name(self, dbt_resource_props):\n"
        "        return 'ours'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    configured = configure(dbt_translator="our_translator:Ours")
    specs = load_specs(current(configured).specs(), configured.project / "dbt")
    assert {found.spec.group_name for found in specs.values()} == {"ours"}


@pytest.mark.parametrize("named", ["nowhere:Translator", "millpond.settings:Settings", "no_class"])
def test_a_translator_that_is_none_is_refused_by_name(configure: Callable[..., Settings], named: str) -> None:
    with pytest.raises(
        ConfigError, match=f"MILLPOND_DBT_TRANSLATOR={named}(.|\n)*MillpondDbtTranslator|{named}"
    ):
        current(configure(dbt_translator=named))
