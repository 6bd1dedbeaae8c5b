"""A client that speaks the protocol gets answers from `millpond mcp`, and errors that it can act on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sensitive_lake import SECRET

from millpond.lake import refs
from millpond.runtime.environments import Environment
from millpond.runtime.home import Home
from millpond.settings import process_environment

WRITING = {"create_branch", "materialize"}


def call(*calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a client is told of the server, then the answers to `calls`."""
    python = Environment("mcp", overlay=True).ensure(lambda _: None)
    done = subprocess.run(
        [python, Path(__file__).with_name("mcp_client.py"), sys.executable],
        input=json.dumps(calls),
        env=process_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def test_a_client_lists_tables_queries_and_is_refused_what_would_write_to_main(lake: Home) -> None:
    told, tables, rows, refused, too_many, main, alerts = call(
        ("list_tables", {}),
        ("query", {"sql": "select * from raw.climate_entries"}),
        ("query", {"sql": "drop table raw.climate_entries"}),
        ("query", {"sql": "select 1", "limit": 5000}),
        ("materialize", {"selection": "dim_date", "days": "2026-11-01", "branch": "main"}),
        ("alerts", {}),
    )
    assert told["server"] == "millpond"
    assert {name for name, reads in told["tools"].items() if not reads} == WRITING
    assert {each["table"]: each["rows"] for each in tables["value"]["result"]} == {
        "gold.dim_date": 1,
        "marts.mrt_climate_overview": None,
        "quarantine.climate_entries": 1,
        "raw.climate_entries": 1,
    }
    assert rows["value"]["rows"] == [["a", 120]]
    assert (refused["error"], too_many["error"], main["error"]) == (True, True, True)
    assert "Next: give one SELECT over tables of list_tables" in refused["text"][0]
    assert "agents do not write to main" in main["text"][0]
    assert alerts["value"] == {"result": []}
    assert SECRET not in json.dumps([tables, rows, alerts])


@pytest.mark.slow
def test_a_client_plans_and_materializes_on_a_branch(lake: Home) -> None:
    days = "2026-11-01"
    _, plan, branch, made, unknown, quarantine, assets, lineage, health = call(
        ("plan", {"selection": "dim_date", "days": days}),
        ("create_branch", {"name": "agent"}),
        ("materialize", {"selection": "dim_date", "days": days, "branch": "agent"}),
        ("materialize", {"selection": "--help", "days": days, "branch": "agent"}),
        ("quarantine", {}),
        ("list_assets", {}),
        ("lineage", {"asset": "stg_climate_entries"}),
        ("health", {}),
    )
    assert plan["value"]["items"][0]["asset"] == "dim_date"
    assert branch["value"]["name"] == "agent"
    assert made["value"]["success"] is True
    assert unknown["error"]
    assert "no asset" in unknown["text"][0], "what an agent names is no option of the command"
    assert quarantine["value"]["result"][0]["rule"] == "device:type"
    assert "dim_date" in {each["asset"] for each in assets["value"]["result"]}
    assert lineage["value"]["upstream"] == ["dlt_climate_entries"]
    assert health["value"]["verdict"].startswith("Everything is all right")
    assert refs.get_branch("agent").base == "main"
