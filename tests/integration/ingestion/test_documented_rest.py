"""The sources on the page about HTTP APIs are read, short, and loaded as the page says."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fake_source import Answer, Request, fake_source
from millpond.ingestion.load import load
from millpond.ingestion.spec import SourceSpec
from millpond.lake import read
from millpond.partitions import Window
from millpond.settings import Settings

PAGE = (Path(__file__).parents[3] / "docs" / "sources-rest.md").read_text()
SOURCES = {
    yaml.safe_load(text)["source"]: text for text in re.findall(r"```yaml\n(source: .*?)```", PAGE, re.DOTALL)
}


def serve(request: Request) -> Answer:
    """Answer as the sources of the page: rates, a token, tickets by POST, orders and their lines."""
    if request.path.startswith("/rates/"):
        return Answer(f"day,currency,rate\n{request.path[7:-4]},EUR,1.084100\n".encode())
    if request.path == "/oauth/token":
        return Answer(b'{"access_token": "issued", "expires_in": 60}')
    if request.path == "/tickets/search":
        low, high = json.loads(request.body)["updated"]
        moment = "2026-11-01T12:00:00Z"
        row = {"id": 1, "opened_at": "2026-10-05T08:00:00Z", "updated_at": moment, "title": "x"}
        first = not json.loads(request.body)["page"]["from"]
        allowed = request.headers.get("authorization") == "Bearer issued"
        found = [row] if first and low <= moment < high else []
        return Answer(json.dumps(found).encode(), status=200 if allowed else 401)
    if request.path == "/orders":
        moment = request.query["since"][:10] + "T10:00:00Z"
        return Answer(json.dumps([{"id": 7, "at": moment}]).encode())
    return Answer(b'[{"position": 1}, {"position": 2}]')


@pytest.mark.parametrize(
    ("name", "rows"), [("bank", 1), ("helpdesk", 1), ("shop", 2)], ids=["bank", "helpdesk", "shop"]
)
def test_a_source_of_the_page_loads_a_day(
    home: object, configure: Callable[..., Settings], name: str, rows: int
) -> None:
    text = SOURCES[name]
    assert len(text.splitlines()) <= 25
    source = SourceSpec.model_validate(yaml.safe_load(text) | {"source": "market"})
    table = source.tables[-1]
    with fake_source() as server:
        server.serve = serve
        configure(market_url=server.url, market_user="client", market_token="a-secret-token")
        result = load(source, table, Window.of_day(dt.date(2026, 11, 1)), ref="main", run_id="test")
    assert not result.failed
    assert read.count("main", table.raw_table) == rows


def test_every_source_of_the_page_is_loaded_here() -> None:
    assert set(SOURCES) == {"bank", "helpdesk", "shop"}
