"""Secrets are masked in whatever text they turn up."""

from __future__ import annotations

import pytest

from millpond import redaction
from millpond.redaction import MASK, excerpt, redacted

SECRET = "hunter2-Geheim/äß"


@pytest.mark.parametrize(
    "text",
    [
        "GET https://cgm.example.org/api/v1/entries.json?count=10&token=SECRET&find=1",
        "https://user:SECRET@example.org/",
        "Authorization: Bearer SECRETSECRET",
        "{'Authorization': 'Bearer SECRETSECRET', 'Accept': 'x'}",
        '{"api-secret": "SECRET"}',
        "api-secret: SECRET",
        "postgresql://millpond_marts:SECRET@127.0.0.1:5432/marts",
        "max retries exceeded with url: /x?api_key=SECRET (Caused by …)",
        "next=%2Fentries%3Ftoken%3DSECRET%26count%3D10",
        "password=SECRET",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    text = "?" + text if text.startswith("password") else text
    masked = redacted(text)
    assert "SECRET" not in masked
    assert MASK in masked
    assert redacted(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "the token is wrong",
        "key of the row: 5",
        "a bearer of news",
        "3 tokens: a, b, c",
        "https://example.org/?count=10",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_a_registered_secret_is_masked_however_it_is_written() -> None:
    redaction.register(SECRET)
    for written in (SECRET, "hunter2-Geheim%2F%C3%A4%C3%9F", "hunter2-Geheim/%C3%A4%C3%9F"):
        assert redacted(f"so {written} it is") == f"so {MASK} it is"


def test_an_excerpt_is_one_short_line_without_secrets() -> None:
    redaction.register(SECRET)
    shown = excerpt(f"<html>\n\t{SECRET}\x00\x1b[31m".encode() + b"x" * 10_000)
    assert shown.startswith(f"<html> {MASK} [31mxxx")
    assert shown.endswith("…")
    assert len(shown) == 201
