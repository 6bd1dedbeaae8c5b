"""What the containers' files name of the platform is there: also under the names of projects made before."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

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
