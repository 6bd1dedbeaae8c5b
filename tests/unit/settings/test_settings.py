"""Settings are read once, refused when wrong, and say where they come from."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from wrong_settings import refused

from millpond.errors import ConfigError
from millpond.settings import (
    PREFIX,
    Settings,
    origins,
    process_environment,
    read_settings,
    settings,
    source_names,
    variable,
)


def test_without_any_variable_the_defaults_hold(project: Path) -> None:
    found = read_settings()
    assert (found.profile, found.timezone, found.ref) == ("embedded", "UTC", "main")
    assert found.home == project / ".millpond"
    assert (found.warehouse, found.staging) == (found.home / "warehouse", found.home / "staging")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("MILLPOND_TIMEZON", "MILLPOND_TIMEZONE"),
        ("MILLPOND_HOEM", "MILLPOND_HOME"),
        ("MILLPOND_SHOP_TOKN", "MILLPOND_SHOP_TOKEN"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    project: Path, monkeypatch: pytest.MonkeyPatch, misspelt: str, meant: str
) -> None:
    error = refused(misspelt, "x", monkeypatch)
    assert misspelt in error.what
    assert meant in error.next_step


def test_an_unknown_variable_in_the_env_file_is_refused_too(project: Path) -> None:
    (project / ".env").write_text("MILLPOND_TIMEZON=UTC\nUNRELATED=1\n")
    with pytest.raises(ConfigError, match="MILLPOND_TIMEZON"):
        read_settings()


def test_variables_of_other_programs_are_none_of_our_business(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTONE_HOME", "x")
    (project / ".env").write_text("OTHER=1\n")
    assert read_settings().project == project


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("MILLPOND_TIMEZONE", "Europe/Atlantis", "Europe/Berlin"),
        ("MILLPOND_TIMEZONE", "../../etc/passwd", "Europe/Berlin"),
        ("MILLPOND_TIMEZONE", "Europe", "Europe/Berlin"),
        ("MILLPOND_START_DATE", "yesterday", "2024-01-01"),
        ("MILLPOND_START_DATE", "1999-12-31", "2000-01-01"),
        ("MILLPOND_PROFILE", "cloud", "embedded"),
        ("MILLPOND_REF", 'main"; drop', "dev"),
        ("MILLPOND_POSTGRES_PORT", "70000", "65535"),
        ("MILLPOND_SHOP_URL", "shop.example.org", "https://"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_an_example(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    error = refused(name, value, monkeypatch)
    assert name in error.what
    assert value in error.what
    assert reason in str(error)


def test_one_folder_for_warehouse_and_staging_is_a_contradiction(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLPOND_ICEBERG_STAGING_PATH", "lake/../lake")
    error = refused("MILLPOND_ICEBERG_WAREHOUSE_PATH", "lake", monkeypatch)
    assert "MILLPOND_ICEBERG_STAGING_PATH" in error.what
    assert "MILLPOND_ICEBERG_WAREHOUSE_PATH" in error.what


def test_two_parts_on_one_port_are_a_contradiction(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLPOND_CATALOG_PORT", "3000")
    with pytest.raises(ConfigError, match="MILLPOND_DAGSTER_PORT and MILLPOND_CATALOG_PORT are both 3000"):
        read_settings()


def test_staging_above_the_warehouse_is_a_contradiction(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLPOND_ICEBERG_STAGING_PATH", "lake")
    assert "emptied" in refused("MILLPOND_ICEBERG_WAREHOUSE_PATH", "lake/warehouse", monkeypatch).what


@pytest.mark.parametrize("staging", [".", "..", "/", ".millpond", ".millpond/warehouse/new"])
def test_staging_is_a_folder_of_its_own(project: Path, monkeypatch: pytest.MonkeyPatch, staging: str) -> None:
    assert "folder of its own" in refused("MILLPOND_ICEBERG_STAGING_PATH", staging, monkeypatch).what


def test_the_environment_wins_over_the_env_file_and_origins_say_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("MILLPOND_TIMEZONE=Asia/Tokyo\nMILLPOND_REF=dev\nMILLPOND_SHOP_TOKEN=a\n")
    monkeypatch.setenv("MILLPOND_TIMEZONE", "Europe/Berlin")
    settings.cache_clear()
    found = settings()
    assert (found.timezone, found.ref, found.source("shop").token is None) == ("Europe/Berlin", "dev", False)
    assert origins() == {
        "MILLPOND_PROJECT": "environment",
        "MILLPOND_TIMEZONE": "environment",
        "MILLPOND_REF": ".env",
        "MILLPOND_SHOP_TOKEN": ".env",
    }


def test_an_empty_variable_counts_as_unset(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".env").write_text("MILLPOND_TIMEZONE=Asia/Tokyo\nMILLPOND_SHOP_USER=me\n")
    monkeypatch.setenv("MILLPOND_TIMEZONE", "")
    monkeypatch.setenv("MILLPOND_SHOP_USER", "")
    settings.cache_clear()
    assert settings().timezone == "Asia/Tokyo"
    assert settings().source("shop").user == "me"
    assert origins()["MILLPOND_TIMEZONE"] == ".env"


def test_each_file_in_sources_brings_its_variables(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLPOND_SHOP_URL", "https://shop.example.org/")
    monkeypatch.setenv("MILLPOND_WEATHER_USER", "me")
    found = read_settings()
    assert source_names(project) == ["shop", "weather"]
    assert found.source("shop").url == "https://shop.example.org"
    assert found.source("weather").user == "me"
    assert found.source("weather").url is None


def test_relative_folders_start_at_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLPOND_HOME", "state")
    monkeypatch.setenv("MILLPOND_ICEBERG_WAREHOUSE_PATH", "/srv/lake")
    found = read_settings()
    assert (found.home, found.warehouse) == (project / "state", Path("/srv/lake"))
    assert found.staging == project / "state" / "staging"


def test_settings_do_not_change_once_read(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("MILLPOND_REF", "dev")
    assert settings() is before
    with pytest.raises(ValueError, match="frozen"):
        before.start_date = dt.date(2025, 1, 1)


def test_a_child_process_gets_our_environment_with_the_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLPOND_REF", "dev")
    child = process_environment(MILLPOND_REF="other", EXTRA="1")
    assert (child["MILLPOND_REF"], child["EXTRA"]) == ("other", "1")
    assert process_environment()["MILLPOND_REF"] == "dev"


def test_every_setting_is_described_and_documented() -> None:
    documented = (Path(__file__).parents[3] / ".env.example").read_text()
    fields = {name: field for name, field in Settings.model_fields.items() if name != "sources"}
    assert [name for name, field in fields.items() if not field.description] == []
    assert [name for name in fields if f"# {variable(name)}=" not in documented] == []


def test_every_documented_variable_exists() -> None:
    text = (Path(__file__).parents[3] / ".env.example").read_text()
    names = [line[2:].split("=")[0] for line in text.splitlines() if line.startswith(f"# {PREFIX}")]
    checkout = Path(__file__).parents[3]
    known = {variable(name) for name in Settings.model_fields}
    known |= {variable(f, s) for s in source_names(checkout) for f in ("url", "user", "token")}
    assert [name for name in names if name not in known] == []


def test_a_variable_of_a_source_that_no_file_declares_is_ignored_with_a_warning(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MILLPOND_SHOPP_URL", "https://shop.example.org")
    assert read_settings().project == project
    (warning,) = caplog.messages
    assert warning == (
        "MILLPOND_SHOPP_URL is ignored: no file in sources/ declares a source shopp;"
        " did you mean MILLPOND_SHOP_URL?"
    )
    error = refused("MILLPOND_S3_ENDPOINT_URL", "https://s3.example.org", monkeypatch)
    assert "did you mean MILLPOND_S3_ENDPOINT" in error.next_step
