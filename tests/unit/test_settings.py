"""Settings are read once, refused when wrong, and say where they come from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from millpond.errors import ConfigError
from millpond.redaction import redacted
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


@pytest.fixture
def project(tmp_path: Path, configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "shop.yaml").touch()
    (tmp_path / "sources" / "weather.py").touch()
    (tmp_path / "sources" / "_shared.py").touch()
    monkeypatch.delenv(f"{PREFIX}HOME")
    configure(project=tmp_path)
    return tmp_path


def refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> ConfigError:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as error:
        read_settings()
    return error.value


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


def test_secrets_show_nowhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLPOND_SHOP_TOKEN", "canary-6f1e")
    found = read_settings()
    token = found.source("shop").token
    assert token is not None
    assert token.get_secret_value() == "canary-6f1e"
    shown = f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    assert "canary-6f1e" not in shown


@pytest.mark.parametrize("around", ["{}\n", " {}\t", "\r\n{}\r\n"])
def test_white_space_around_a_secret_is_cut(
    project: Path, monkeypatch: pytest.MonkeyPatch, around: str
) -> None:
    for name in ("SHOP_TOKEN", "SMTP_PASSWORD", "SLACK_WEBHOOK"):
        monkeypatch.setenv(f"MILLPOND_{name}", around.format("https://canary-6f1e"))
    monkeypatch.setenv("MILLPOND_JIRA_TOKEN", " \n")
    found = read_settings()
    for secret in (found.source("shop").token, found.smtp_password, found.slack_webhook):
        assert secret is not None
        assert secret.get_secret_value() == "https://canary-6f1e"
    assert found.jira_token is None


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SHOP_TOKEN", "canary\nline", "U+000A"),
        ("SHOP_TOKEN", "canary\x7fline", "U+007F"),
        ("SHOP_TOKEN", "canary—line", "Latin-1"),
        ("JIRA_TOKEN", "canary—line", "Latin-1"),
        ("SMTP_PASSWORD", "canary\tline", "U+0009"),
        ("SLACK_WEBHOOK", "https://canary\r\nline", "U+000D"),
    ],
)
def test_a_character_that_no_request_can_carry_is_refused_by_the_settings_name(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    error = refused(f"MILLPOND_{name}", value, monkeypatch)
    assert error.what.startswith(f"MILLPOND_{name} cannot be used: ")
    assert reason in error.what
    assert "canary" not in str(error)
    assert redacted(error.what) == error.what, "what is printed still says why"


def test_a_wrong_source_setting_beside_a_secret_does_not_show_the_secret(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLPOND_SHOP_TOKEN", "canary-6f1e")
    error = refused("MILLPOND_SHOP_URL", "shop.example.org", monkeypatch)
    assert "canary-6f1e" not in str(error)
    assert error.__cause__ is None


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
    documented = (Path(__file__).parents[2] / ".env.example").read_text()
    fields = {name: field for name, field in Settings.model_fields.items() if name != "sources"}
    assert [name for name, field in fields.items() if not field.description] == []
    assert [name for name in fields if f"# {variable(name)}=" not in documented] == []


def test_every_documented_variable_exists() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text()
    names = [line[2:].split("=")[0] for line in text.splitlines() if line.startswith(f"# {PREFIX}")]
    checkout = Path(__file__).parents[2]
    known = {variable(name) for name in Settings.model_fields}
    known |= {variable(f, s) for s in source_names(checkout) for f in ("url", "user", "token")}
    assert [name for name in names if name not in known] == []


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


def test_scale_takes_the_usual_ports_and_keeps_its_secrets(scale: None) -> None:
    found = read_settings()
    assert (found.postgres_port, found.trino_port) == (5432, 8080)
    assert found.iceberg_warehouse_path == "s3://lake/warehouse"
    assert sorted(found.role_passwords)[0] == "millpond_catalog"
    assert "canary-71aa" not in f"{found!r} {found.model_dump_json()}"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POSTGRES_HOST", "", "MILLPOND_POSTGRES_HOST=postgres"),
        ("TRINO_HOST", "", "MILLPOND_TRINO_HOST=trino"),
        ("POSTGRES_OPS_PASSWORD", "", "MILLPOND_POSTGRES_OPS_PASSWORD"),
        ("ICEBERG_WAREHOUSE_PATH", "lake", "s3://lake/warehouse"),
        ("ICEBERG_WAREHOUSE_PATH", "", "s3://lake/warehouse"),
        ("S3_SECRET_KEY", "", "MILLPOND_S3_SECRET_KEY"),
        ("S3_ACCESS_KEY", "", "MILLPOND_S3_ACCESS_KEY"),
        ("S3_ENDPOINT", "s3:9000", "http://"),
        ("CATALOG", "nessie", "MILLPOND_NESSIE_URI=http://nessie:19120"),
        ("CATALOG", "glue", "nessie"),
        ("TRINO_PASSWORD", "canary-71aa", "MILLPOND_TRINO_HTTP_SCHEME=https"),
        ("PROFILE", "embedded", "MILLPOND_PROFILE=scale"),
    ],
)
def test_what_contradicts_scale_is_refused_by_name_with_an_example(
    scale: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    error = refused(PREFIX + name, value, monkeypatch)
    assert said in str(error)
    assert "canary-71aa" not in str(error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CATALOG", "nessie"),
        ("POSTGRES_HOST", "postgres"),
        ("ICEBERG_WAREHOUSE_PATH", "s3://lake/warehouse"),
    ],
)
def test_embedded_refuses_servers_of_scale(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert f"{PREFIX}{name}={value}" in refused(PREFIX + name, value, monkeypatch).what


def test_secrets_lie_in_files_between_the_environment_and_the_env_file(
    project: Path, scale: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("millpond_s3_secret_key", "millpond_ref", "millpond_shop_token", "millpond_timezone"):
        (folder / name).write_text(
            {"millpond_ref": "dev", "millpond_timezone": "Asia/Tokyo"}.get(name, "s3cret\n")
        )
    (folder / "of_somebody_else").write_text("x")
    (project / ".env").write_text(f"MILLPOND_SECRETS_DIR={folder}\nMILLPOND_REF=other\n")
    monkeypatch.delenv("MILLPOND_S3_SECRET_KEY")
    monkeypatch.setenv("MILLPOND_TIMEZONE", "Europe/Berlin")
    settings.cache_clear()
    found, token = settings(), settings().source("shop").token
    assert found.s3_secret_key is not None
    assert token is not None
    assert (found.s3_secret_key.get_secret_value(), token.get_secret_value()) == ("s3cret", "s3cret")
    assert (found.ref, found.timezone) == ("dev", "Europe/Berlin")
    assert origins()["MILLPOND_REF"] == "secrets"
    assert origins()["MILLPOND_TIMEZONE"] == "environment"


def test_a_folder_of_secrets_that_is_not_there_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no such folder" in refused("MILLPOND_SECRETS_DIR", str(project / "none"), monkeypatch).what


def test_an_unknown_secret_of_ours_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "millpond_s3_sekret_key").write_text("x")
    error = refused("MILLPOND_SECRETS_DIR", str(project), monkeypatch)
    assert "MILLPOND_S3_SECRET_KEY" in error.next_step


@pytest.mark.parametrize("name", ["MILLPOND_PUBLIC_URL", "MILLPOND_RUNBOOK_URL"])
@pytest.mark.parametrize(
    "value",
    [
        "dagster.example.org",
        "https://",
        "https://a b",
        "https://me:secret@example.org",
        "https://example.org/?a=1",
        "https://example.org/#top",
        "https://example.org:99999",
        "ftp://example.org",
    ],
)
def test_an_address_that_could_not_be_opened_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    error = refused(name, value, monkeypatch)
    assert name in error.what
    assert "example.org" in error.next_step
    assert "secret" not in error.what


@pytest.mark.parametrize(
    "name",
    [
        *("SHOP_URL", "SLACK_WEBHOOK", "WEBHOOK_URL", "HEARTBEAT_URL", "PUBLIC_URL", "RUNBOOK_URL"),
        *(
            "QUEUE_URL",
            "QUEUE_ENDPOINT",
            "DEMO_URL",
            "PAGERDUTY_URL",
            "JIRA_URL",
            "S3_ENDPOINT",
            "NESSIE_URI",
        ),
    ],
)
def test_what_cannot_be_an_address_is_refused_by_the_settings_name(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for wrong in ("http://[::bad", "https://[1", "http://a..b", f"http://{'x' * 300}.org", "http://a:99999"):
        monkeypatch.setenv(f"MILLPOND_{name}", wrong.replace("//", "//u:S3cretPassw0rd@"))
        with pytest.raises(ConfigError) as refused:
            read_settings()
        assert f"MILLPOND_{name}" in refused.value.what + refused.value.next_step
        assert "S3cretPassw0rd" not in str(refused.value) + refused.value.next_step
