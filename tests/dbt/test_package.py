"""The dbt package that comes with Millpond is found by any project, and gives way to what that declares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.errors import ConfigError
from millpond.runtime import dbt_package
from millpond.runtime.dbt_package import PACKAGE, install
from millpond.settings import Settings, settings
from millpond.transform.fingerprint import compute_fingerprint
from millpond.transform.manifest import load_project
from small_projects import Write

MODEL = {
    "models/one.sql": "select {{ millpond.count_if('true') }} as n from {{ ref('two') }}",
    "models/two.sql": "select 1 as a",
}


def test_a_link_to_the_package_is_made_and_one_to_an_older_installation_replaced(tmp_path: Path) -> None:
    packages = tmp_path / "dbt_packages"
    assert install(packages) == packages
    (packages / "millpond").unlink()
    (packages / "millpond").symlink_to("/nowhere/millpond/dbt_package")
    assert install(packages) == packages
    assert (packages / "millpond").resolve() == PACKAGE


def test_what_a_copy_of_a_project_made_of_the_link_is_replaced(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "millpond")
    (tmp_path / "millpond" / "macros" / "dates.sql").write_text("of an older release")
    install(tmp_path)
    assert os.readlink(tmp_path / "millpond") == str(PACKAGE)


def test_a_package_of_the_same_name_is_not_touched_and_refused(tmp_path: Path) -> None:
    (tmp_path / "millpond").mkdir()
    (tmp_path / "millpond" / "dbt_project.yml").write_text("name: millpond\n")
    with pytest.raises(ConfigError, match="has the name of Millpond's own, millpond"):
        install(tmp_path)
    assert (tmp_path / "millpond" / "dbt_project.yml").read_text() == "name: millpond\n"


def test_a_project_that_may_only_be_read_is_built_with_links_below_the_home(
    write_project: Write, configure: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(
        MODEL | {"dbt_packages/shop/dbt_project.yml": "{name: shop, version: 1.0.0, config-version: 2}"}
    )
    link = Path.symlink_to

    def refused(self: Path, target: str | Path, target_is_directory: bool = False) -> None:
        if tmp_path / "dbt" in self.parents:
            raise PermissionError(13, "Permission denied", str(self))
        link(self, target, target_is_directory)

    monkeypatch.setattr(Path, "symlink_to", refused)
    assert "model.small.one" in load_project(settings()).document()["nodes"]
    assert [path.name for path in (tmp_path / "dbt" / "dbt_packages").iterdir()] == ["shop"]
    folder = install(tmp_path / "dbt" / "dbt_packages")
    assert {path.name for path in folder.iterdir()} == {"millpond", "shop"}
    shutil.rmtree(tmp_path / "dbt" / "dbt_packages")
    assert {path.name for path in install(tmp_path / "dbt" / "dbt_packages").iterdir()} == {"millpond"}


def test_the_package_of_another_release_asks_for_another_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compute_fingerprint(settings())
    monkeypatch.setattr(dbt_package, "hash_package", lambda: "of another release")
    assert compute_fingerprint(settings()) != before


def test_a_project_called_millpond_is_told_what_to_change(write_project: Write) -> None:
    write_project({"dbt_project.yml": "{name: millpond, version: 1.0.0, profile: millpond}"})
    with pytest.raises(ConfigError, match=r"is called millpond(.|\n)*another name in its dbt_project.yml"):
        load_project(settings())


def test_packages_that_are_not_installed_are_missed_although_ours_is_there(write_project: Write) -> None:
    write_project(MODEL | {"packages.yml": "packages: [{local: ../elsewhere}]"})
    with pytest.raises(
        ConfigError, match=r"1 package\(s\) specified(.|\n)*0 package\(s\) installed(.|\n)*dbt deps"
    ):
        load_project(settings())


def test_a_project_of_another_profile_and_without_profiles_is_parsed_with_ours(write_project: Write) -> None:
    profile = "jaffle: {target: dev, outputs: {dev: {type: duckdb, path: /nowhere/jaffle.duckdb}}}"
    project = "{name: small, version: 1.0.0, profile: jaffle}"
    write_project(MODEL | {"dbt_project.yml": project, "profiles.yml": profile})
    nodes = load_project(settings()).document()["nodes"]
    assert (nodes["model.small.one"]["database"], nodes["model.small.one"]["schema"]) == ("lake", "gold")


def test_what_a_project_overrides_itself_comes_before_the_package(write_project: Write) -> None:
    macro = (
        "{% macro generate_schema_name(name, node) %}"
        "{{ 'bronze' if node.name == 'one' else millpond.default__generate_schema_name(name, node) }}"
        "{% endmacro %}"
    )
    write_project(MODEL | {"macros/schema.sql": macro})
    nodes = load_project(settings()).document()["nodes"]
    assert [nodes[f"model.small.{name}"]["schema"] for name in ("one", "two")] == ["bronze", "silver"]
