"""Each word of dlt's REST configuration is taken as dlt means it, or refused with the words there are."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from dlt.sources.helpers.rest_client.auth import TApiKeyLocation
from dlt.sources.rest_api.config_setup import AUTH_MAP, PAGINATOR_MAP
from pydantic import ValidationError

from millpond.ingestion.spec import SourceSpec
from millpond.ingestion.spec_messages import Mistake, explain

SECRET = "{token}"
AUTHS: dict[str, dict[str, Any]] = {
    "bearer": {"token": SECRET},
    "api_key": {"name": "key", "api_key": SECRET},
    "http_basic": {"username": "{user}", "password": SECRET},
    "oauth2_client_credentials": {
        "access_token_url": "{url}/token",
        "client_id": "{user}",
        "client_secret": SECRET,
    },
}


def declare(auth: Any = None, **endpoint: Any) -> SourceSpec:
    table = {
        "name": "orders",
        "key": ["id"],
        "load": "whole",
        "columns": {"id": "int"},
        "endpoint": {"path": "orders", **endpoint},
    }
    rest = {"base_url": "{url}", **({} if auth is None else {"auth": auth})}
    return SourceSpec.model_validate({"source": "shop", "rest": rest, "tables": [table]})


def refused(auth: Any = None, **endpoint: Any) -> Mistake:
    with pytest.raises(ValidationError) as caught:
        declare(auth, **endpoint)
    return explain(caught.value)


def hook(response: Any) -> Any:
    return response


@pytest.mark.parametrize("kind", AUTH_MAP)
def test_each_credential_of_dlt_is_taken(kind: str) -> None:
    found = declare({"type": kind, **AUTHS[kind]}).http.auth
    assert found
    assert found.type == kind


@pytest.mark.parametrize(
    ("auth", "reason", "next_step"),
    [
        ({"type": "oauth2_jwt", "client_id": "x"}, "type is 'oauth2_jwt'; it may be bearer, api_key", ""),
        ("bearer", "is a text, not keys with values", "auth: { type: bearer"),
        ({"token": SECRET}, "type is missing", "auth: { type: bearer"),
        (AUTH_MAP["bearer"](), "type is missing", "auth: { type: bearer"),
        (hook, "is a function, not keys with values", "auth: { type: bearer"),
    ],
)
def test_another_credential_is_refused_with_those_there_are(auth: Any, reason: str, next_step: str) -> None:
    found = refused(auth)
    assert (found.path, reason in found.what) == (["rest", "auth"], True)
    assert next_step in found.next_step


@pytest.mark.parametrize("location", get_args(TApiKeyLocation))
def test_a_place_of_a_key_is_taken_or_refused(location: str) -> None:
    auth = {"type": "api_key", "location": location, **AUTHS["api_key"]}
    if location in {"header", "query"}:
        assert declare(auth)
        return
    found = refused(auth)
    assert f"is {location!r}; it may be header or query" in found.what
    assert ("did you mean query?" in found.next_step) == (location == "param")


@pytest.mark.parametrize("kind", PAGINATOR_MAP)
def test_each_paginator_of_dlt_is_taken_but_those_that_guess_or_are_deprecated(kind: str) -> None:
    if kind not in {"auto", "json_response"}:
        assert declare(paginator={"type": kind}).tables[0].http.paginator.type == kind
        return
    found = refused(paginator={"type": kind})
    assert f"there is no paginator {kind!r}; there are newest_first" in found.what
    assert ("did you mean json_link?" in found.next_step) == (kind == "json_response")


@pytest.mark.parametrize(
    "answers", [{"status_code": 404}, {"content": "no orders"}, {"status_code": 422, "content": "empty"}]
)
def test_an_answer_may_be_ignored(answers: dict[str, Any]) -> None:
    (action,) = declare(response_actions=[{**answers, "action": "ignore"}]).tables[0].http.response_actions
    assert action.fits(answers.get("status_code", 200), str(answers.get("content", "")).encode())


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (hook, "is a function, not keys with values"),
        ({"status_code": 404, "action": hook}, "is a function; it may be ignore"),
        ({"status_code": 404, "action": [hook]}, "is a list; it may be ignore"),
        ({"status_code": 404, "action": "raise"}, "is 'raise'; it may be ignore"),
        ({"status_code": 404}, "is missing"),
        ({"status_code": "404", "action": "ignore"}, "is a text, not a whole number"),
    ],
)
def test_another_action_is_refused_with_what_there_is(action: Any, reason: str) -> None:
    found = refused(response_actions=[action])
    assert found.path[:4] == ["tables", 0, "endpoint", "response_actions"]
    assert reason in found.what
    assert "write for example" in found.next_step
