"""What the containers' files name of the platform is there: also under the names of projects made before."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

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
