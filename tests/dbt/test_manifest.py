from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.errors import ConfigError
from millpond.settings import Settings, settings
from millpond.transform import fingerprint, parsing
from millpond.transform.fingerprint import compute_fingerprint
from millpond.transform.manifest import get_shipped_folder, load_project, manifest_path


@pytest.fixture
def copied(configure: Callable[..., Settings], tmp_path: Path) -> Path:
    """A copy of the dbt project that the settings point to; returns its folder."""
    original = settings().project
    shutil.copytree(original / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("target", "logs"))
    (tmp_path / "sources").symlink_to(original / "sources")
    configure(project=tmp_path)
    return tmp_path / "dbt"


def test_the_project_is_parsed_again_only_when_its_content_changed(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert manifest_path(settings()).exists()
    monkeypatch.setattr(parsing, "invoke", None)
    (copied / "models/groups.yml").touch()
    (copied / "target").mkdir()
    (copied / "target" / "manifest.json").write_text("{}")
    assert manifest_path(settings()).exists()
    (copied / "models/groups.yml").write_text((copied / "models/groups.yml").read_text() + "# a comment\n")
    with pytest.raises(TypeError):
        manifest_path(settings())


@pytest.mark.parametrize("change", [{"timezone": "Europe/Berlin"}, {"start_date": "2025-01-01"}])
def test_a_setting_that_models_see_asks_for_another_parse(
    configure: Callable[..., Settings], change: dict[str, str]
) -> None:
    before = compute_fingerprint(settings())
    assert compute_fingerprint(configure(**change)) != before


def test_a_variable_of_the_environment_that_the_project_reads_asks_for_another_parse(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "models/read.sql").write_text('select \'{{ env_var("SHOP_REGION", "eu") }}\' as region')
    before = compute_fingerprint(settings())
    monkeypatch.setenv("SHOP_COLOUR", "red")
    assert compute_fingerprint(settings()) == before
    monkeypatch.setenv("SHOP_REGION", "us")
    assert compute_fingerprint(settings()) != before


@pytest.mark.parametrize("settled", [fingerprint.SETTLED_NS, -(10**18)], ids=["just written", "read before"])
def test_files_that_were_read_before_are_read_again_once_one_changes_to_text_of_the_same_size(
    copied: Path, monkeypatch: pytest.MonkeyPatch, settled: int
) -> None:
    monkeypatch.setattr(fingerprint, "SETTLED_NS", settled)
    model = copied / "models/read.sql"
    model.write_text("select 1 as one")
    before = compute_fingerprint(settings())
    assert compute_fingerprint(settings()) == before
    times = model.stat()
    model.write_text("select 2 as one")
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = compute_fingerprint(settings())
    (copied / "models/other.sql").write_text("select 3 as one")
    assert before != changed != compute_fingerprint(settings())


def test_a_package_that_is_a_link_to_elsewhere_is_part_of_the_project(copied: Path, tmp_path: Path) -> None:
    package = tmp_path / "shared"
    package.mkdir()
    (package / "loop").symlink_to(package)
    (copied / "dbt_packages").mkdir(exist_ok=True)
    (copied / "dbt_packages/shared").symlink_to(package)
    before = compute_fingerprint(settings())
    (package / "macro.sql").write_text("{% macro one() %} 1 {% endmacro %}")
    assert compute_fingerprint(settings()) != before


def test_a_changed_translator_asks_for_another_parse(
    configure: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop_translator.py").write_text("# one")
    before = compute_fingerprint(configure(dbt_translator="shop_translator:Ours"))
    (tmp_path / "shop_translator.py").write_text("# two")
    assert compute_fingerprint(settings()) != before


def test_a_parsed_state_that_comes_with_the_project_is_used_as_it_is(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = load_project(settings()).folder
    shutil.move(parsed, get_shipped_folder(settings()) / parsed.name)
    monkeypatch.setattr(parsing, "invoke", None)
    assert load_project(settings()).folder == copied / "parsed" / parsed.name


def test_parsing_opens_no_socket(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("parsing opened a socket")

    monkeypatch.setattr(socket, "socket", refused)
    (copied / "models/groups.yml").write_text((copied / "models/groups.yml").read_text() + "# another\n")
    parsed = load_project(settings())
    assert len(parsed.document()["nodes"]) > 20
    assert {test.name for test in parsed.checks().values()} >= {"dim_date_key", "fct_climate_readings_key"}


def test_a_folder_without_a_project_says_what_to_set(
    configure: Callable[..., Settings], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no dbt project in(.|\n)*MILLPOND_PROJECT"):
        manifest_path(configure(project=tmp_path))
