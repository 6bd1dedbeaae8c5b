"""OAuth2 client credentials: one token for a load, requested anew as it expires, and never shown."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from fake_source import Answer, FakeSource, Request, fake_source
from listings import LIMITS, START, between, row
from millpond import redaction
from millpond.errors import SourceError
from millpond.ingestion.rest.auth import create_auth
from millpond.ingestion.rest.client import TableClient
from millpond.ingestion.rest.listing import Listing
from millpond.ingestion.rest.placeholders import connection
from millpond.ingestion.retry import Gate
from millpond.ingestion.spec import SourceSpec

SECRET = "a-secret-of-a-client"
DAY_MS = 24 * 3600 * 1000


def spec(**auth: Any) -> SourceSpec:
    declared = {
        "type": "oauth2_client_credentials",
        "access_token_url": "{url}/token",
        "client_id": "{user}",
        "client_secret": "{token}",
        **auth,
    }
    table = {
        "name": "things",
        "key": ["id"],
        "event_time": {"column": "at", "unit": "ms"},
        "columns": {"id": "int", "at": "int"},
        "endpoint": {"path": "rows", "paginator": {"type": "offset", "limit": 2}},
        "window": {"params": {"from": "{start_ms}", "to": "{end_ms}"}},
    }
    rest = {"base_url": "{url}", "auth": declared}
    return SourceSpec.model_validate({"source": "market", "rest": rest, "tables": [table]})


class Api:
    """Issues tokens by number, and lists five rows to whoever has the newest one."""

    def __init__(self, **token: Any) -> None:
        self.issued, self.token = 0, token

    def __call__(self, request: Request) -> Answer:
        if request.path == "/token":
            self.issued += 1
            body = {"access_token": f"issued-number-{self.issued:04}", **self.token}
            return Answer(json.dumps(body).encode())
        if request.headers.get("authorization") != f"Bearer issued-number-{self.issued:04}":
            return Answer(b"{}", status=401)
        listed = between([row(n, START + n) for n in range(5)], request, 99)
        start = int(request.query["offset"])
        return Answer(json.dumps(listed[start : start + 2]).encode())


def read(source: FakeSource, declared: SourceSpec) -> int:
    redaction.register(SECRET)
    values, gate = connection(source.url, "client", SECRET), Gate()
    auth = create_auth(declared, values, LIMITS, gate)
    client = TableClient(declared, declared.tables[0], values, LIMITS, gate, auth=auth)
    listing = Listing(START * 1000, (START + DAY_MS) * 1000)
    return sum(page.num_rows for page in client.pages(listing))


def test_one_token_serves_all_requests_of_a_load() -> None:
    with fake_source() as source:
        source.serve = api = Api(expires_in=3600)
        assert read(source, spec(access_token_request_data={"scope": "read"})) == 5
        assert api.issued == 1
        asked = parse_qs(source.requests[0].body.decode())
        assert asked == {
            "grant_type": ["client_credentials"],
            "client_id": ["client"],
            "client_secret": [SECRET],
            "scope": ["read"],
        }


def test_a_token_that_expires_is_requested_anew_in_the_middle_of_a_load() -> None:
    with fake_source() as source:
        source.serve = api = Api(expires_in=1e-9)
        assert read(source, spec()) == 5
        assert api.issued == len([r for r in source.requests if r.path == "/rows"]) > 2


def test_a_token_without_a_time_lasts_as_declared() -> None:
    with fake_source() as source:
        source.serve = api = Api()
        assert read(source, spec(default_token_expiration=600)) == 5
        assert api.issued == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(f'{{"error": "invalid_client {SECRET}"}}'.encode(), status=401), "no token was issued"),
        (Answer(f'{{"token": "issued-{SECRET}"}}'.encode()), "holds no access_token"),
        (Answer(f"issued-{SECRET}".encode()), "holds no access_token"),
    ],
)
def test_a_token_that_is_not_issued_is_an_error_that_shows_no_secret(answer: Answer, reason: str) -> None:
    with fake_source() as source:
        source.serve = lambda _: answer
        with pytest.raises(SourceError) as caught:
            read(source, spec())
    assert reason in caught.value.what
    assert SECRET not in f"{caught.value} {caught.value.next_step}"
    assert "sources/market.yaml" in caught.value.next_step


def test_an_issued_token_is_redacted() -> None:
    with fake_source() as source:
        source.serve = Api(expires_in=3600)
        read(source, spec())
    assert "issued-number-0001" not in redaction.redacted("the header had issued-number-0001")


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        ({"client_secret": "written-here"}, "from the environment"),
        ({"access_token_url": "token"}, "access_token_url"),
        ({"default_token_expiration": 0}, "default_token_expiration"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(auth: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        spec(**auth)
