"""Secrets are read from files and variables, and no error or output shows one."""

from __future__ import annotations

from pathlib import Path

import pytest
from wrong_settings import refused

from millpond.redaction import redacted
from millpond.settings import (
    origins,
    read_settings,
    settings,
)


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
