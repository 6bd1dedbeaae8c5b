"""What the containers' files name of the platform is there: also under the names of projects made before."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from millpond.project.template import _SHARED

DOCKER = Path(__file__).parents[2] / "docker"
TEXT = "\n".join(file.read_text() for file in sorted(DOCKER.rglob("*.y*ml")))


@pytest.mark.parametrize(("module", "name"), sorted(set(re.findall(r"(millpond\.[\w.]+):(\w+)", TEXT))))
def test_what_a_server_is_started_from_can_be_called(module: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("module", sorted(set(re.findall(r"-m, (millpond[\w.]*)", TEXT))))
def test_what_is_run_as_a_module_is_one(module: str) -> None:
    assert importlib.util.find_spec(module)


@pytest.mark.parametrize("name", ["current", "shipped"])
def test_former_names_of_the_image_go_on_working(name: str) -> None:
    assert callable(getattr(importlib.import_module("millpond.transform.manifest"), name))


def test_the_image_holds_each_part_of_the_project_that_the_checkout_is() -> None:
    not_there = {
        "docker",
        "workspace.yaml",
        ".env.example",
    }
    parts = {entry.partition("/")[0] for entry in _SHARED} - not_there
    copied = re.findall(r"^COPY ([^-].*) /app", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    sent = (DOCKER.parent / ".dockerignore").read_text().splitlines()
    assert parts <= {name for line in copied for name in line.split()}
    assert parts <= {line.removeprefix("!") for line in sent}


SERVICES = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_root_no_capabilities_and_nothing_of_the_machine(name: str) -> None:
    service = SERVICES[name]
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert service["read_only"]
    assert not {"privileged", "pid", "ipc", "devices", "userns_mode"} & service.keys()
    assert service.get("network_mode") in (None, "none")
    assert not [each for each in service.get("volumes", ()) if "docker.sock" in str(each)]
    if name == "s3-volume":  # gives a new volume to its user, and ends
        assert (service["cap_add"], service["network_mode"]) == (["CHOWN"], "none")
    else:
        assert "cap_add" not in service
        assert not str(service.get("user", "")).startswith(("0", "root"))


def test_images_are_pinned_by_version_and_ours_end_as_a_user_without_rights() -> None:
    images = [service["image"] for service in SERVICES.values()]
    assert [each for each in images if not re.search(r":v?\d[\w.-]*(}|$)", each)] == []
    text = (DOCKER / "Dockerfile").read_text()
    bases = re.findall(r"^ARG \w+_IMAGE=(.*)", text, re.MULTILINE)
    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)
    stages = re.split(r"^FROM .* AS ", text, flags=re.MULTILINE)[1:]
    final = [stage for stage in stages if stage.split()[0] in {"superset", "runtime"}]
    assert len(final) == 2
    assert [re.findall(r"^USER (\w+)", stage, re.MULTILINE)[-1] for stage in final] == ["millpond"] * 2
    installs = re.findall(r"pip install (?:[^&]|\\\n)*-r", text)
    assert installs
    assert all("--require-hashes" in each for each in installs)
