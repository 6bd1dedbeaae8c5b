"""A look at a source asks as a load does: the same path, parameters and credential; only for less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fake_source import DAY, FakeSource, Request, fake_source
from millpond.ingestion.load import load
from millpond.ingestion.news import look_for_news
from millpond.ingestion.rest.connection import Rest
from millpond.partitions import Window
from millpond.settings import Settings
from source_tables import table_of

TOKEN = "c4n4ry-of-looks"
AUTHS: list[dict[str, Any]] = [
    {"type": "bearer", "token": "{token}"},
    {"type": "api_key", "name": "api-secret", "api_key": "{token_sha1}", "location": "header"},
    {"type": "api_key", "name": "token", "api_key": "{token}", "location": "query"},
    {"type": "http_basic", "username": "{user}", "password": "{token}"},
]


def asked(source: FakeSource) -> tuple[str, set[str], Any, Any, Any]:
    """Return of the last request its path, the names of its parameters and its credential."""
    request: Request = source.requests[-1]
    given = request.headers
    return (
        request.path,
        set(request.query),
        given.get("authorization"),
        given.get("api-secret"),
        request.query.get("token"),
    )


@pytest.mark.parametrize("auth", AUTHS, ids=["bearer", "header", "query", "basic"])
def test_a_look_sends_the_credential_that_a_load_sends(
    home: object, configure: Callable[..., Settings], auth: dict[str, Any]
) -> None:
    with fake_source() as server:
        configure(greenhouse_url=f"{server.url}/below/", greenhouse_user="me", greenhouse_token=TOKEN)
        source, table = table_of("climate_entries")
        source = source.model_copy(update={"rest": Rest.model_validate({"base_url": "{url}", "auth": auth})})
        load(source, table, Window.of_day(DAY), ref="main", run_id="test")
        loaded = asked(server)
        assert loaded[0] == "/below/entries"
        assert any(loaded[2:])
        look_for_news(source, table, None)
        assert asked(server) == loaded
