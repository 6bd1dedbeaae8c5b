"""docker/compose.yaml as a text: what it may not say, whoever changes it."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from millpond.settings import Settings, variable

DOCKER = Path(__file__).parents[2] / "docker"
ONE_SHOT = {"provision", "s3-volume"}
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_image_has_a_version(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2].rstrip("}")
    assert re.search(r"\d+\.\d+|\d{3}", tag)


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_each_server_has_limits_a_health_check_and_is_started_again(name: str) -> None:
    service = SERVICES[name]
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"


def test_the_parts_wait_for_the_health_of_what_they_need() -> None:
    needed = [need for each in SERVICES.values() for need in each.get("depends_on", {}).items()]
    for name, how in needed:
        wanted = "service_completed_successfully" if name in ONE_SHOT else "service_healthy"
        assert how["condition"] == wanted, name


def test_no_password_has_a_default() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    defaults = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET_KEY|TOKEN|WEBHOOK)\w*):-([^}]*)\}", text)
    assert [name for name, value in defaults if value] == []


def test_only_settings_that_exist_are_handed_in() -> None:
    known = {variable(field) for field in Settings.model_fields}
    known |= {
        variable(field, s)
        for s in ("nightscout", "github", "meter", "diary")
        for field in ("url", "user", "token")
    }
    for name, service in SERVICES.items():
        handed = {n for n in service.get("environment", {}) if n.startswith("MILLPOND_")}
        assert handed - known - {"MILLPOND_BUCKET"} == set(), name


def test_secrets_are_made_once_and_are_open_to_containers_only(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([DOCKER / "make-secrets", folder], check=True, capture_output=True)
    made = {file.name: file.read_text() for file in folder.iterdir()}
    assert set(made) == {name.rpartition("/")[2] for name in map(_file, COMPOSE["secrets"].values()) if name}
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o444 for file in folder.iterdir() if made[file.name])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    subprocess.run([DOCKER / "make-secrets", folder], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in folder.iterdir()} == made


def _file(secret: dict[str, str]) -> str:
    return "" if "CA_BUNDLE" in secret["file"] else secret["file"]
