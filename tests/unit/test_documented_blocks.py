"""Files that the pages show, as a client's configuration or alerts.yaml, are read as they stand there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from documented import PAGES, usage_error
from millpond.alerts.routing import Routing, read_routing
from millpond.settings import PREFIX, Settings

DOCS = Path(__file__).parents[2] / "docs"


def find_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_client_of_an_agent_starts_a_command_that_exists_with_settings_that_exist() -> None:
    (block,) = find_blocks(DOCS / "agents.md", "json")
    server = json.loads(block)["mcpServers"]["millpond"]
    assert (server["command"], usage_error(server["args"])) == ("millpond", "")
    assert {name.removeprefix(PREFIX).lower() for name in server["env"]} <= set(Settings.model_fields)


ALERTS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(find_blocks(page, "yaml"), 1)
    if block.startswith("# alerts.yaml") or set(yaml.safe_load(block) or ()) & {"routes", "summary_report"}
]


@pytest.mark.parametrize("block", ALERTS)
def test_each_alerts_yaml_that_is_shown_is_accepted(
    block: str, tmp_path: Path, configure: Callable[..., Settings]
) -> None:
    (tmp_path / "alerts.yaml").write_text(block)
    routing = read_routing(configure(project=tmp_path))
    assert routing != Routing()
