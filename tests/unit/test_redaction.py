"""Secrets are masked in whatever text they turn up."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import subprocess
import sys
from urllib.parse import quote, quote_plus

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        'key: "SECRET"',
        'key:"SECRET"',
        "key='SECRET'",
        '"key": "SECRET"',
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    text = "?" + text if text.startswith("password") else text
    masked = redacted(text)
    assert "SECRET" not in masked
    assert MASK in masked
    assert redacted(masked) == masked


@pytest.mark.parametrize("text", ['{key:"VALUE"}', '{id:1, key:"VALUE"}', 'api_key:"VALUE"', 'token:"VALUE"'])
@pytest.mark.parametrize("value", ["dlt_orders", "sk_live_4f9x2q", "9f86d081884c7d65"])
def test_only_a_selection_of_an_asset_is_no_credential(text: str, value: str) -> None:
    assert value not in redacted(text.replace("VALUE", value))
    assert ("9f86d0" in redacted(f'key:"{value}"')) is False
    assert redacted('key:"sk_live_4f9x2q"') == f'key:"{MASK}"'


@given(data=st.data())
@hypothesis.settings(max_examples=200)
def test_the_quick_look_passes_over_no_text_that_a_pattern_matches(data: st.DataObject) -> None:
    pattern, replacement = data.draw(st.sampled_from(redaction._PATTERNS))
    text = data.draw(st.from_regex(pattern))
    assert MASK in redacted(text) or pattern.sub(replacement, text) == text


@pytest.mark.parametrize(
    "text",
    [
        "the token is wrong",
        "key of the row: 5",
        "a bearer of news",
        "3 tokens: a, b, c",
        "https://example.org/?count=10",
        'millpond backfill \'key:"dlt_orders"+ and not key:"dlt_orders"\' --stale',
        'key:"marts/mrt_daily_v2"*',
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redacted(text) == text


def test_a_registered_secret_is_masked_however_it_is_written() -> None:
    redaction.register(SECRET)
    for written in (SECRET, "hunter2-Geheim%2F%C3%A4%C3%9F", "hunter2-Geheim/%C3%A4%C3%9F"):
        assert redacted(f"so {written} it is") == f"so {MASK} it is"


@pytest.mark.parametrize(
    "secret", ["c4n4ry-Geheim/äß'\"\\x", "short7!", "a" * 8 + "-token-of-forty-characters-in-all"]
)
def test_every_usual_spelling_of_a_secret_is_masked(secret: str) -> None:
    redaction.register(secret)
    digest = hashlib.sha1(secret.encode(), usedforsecurity=False).hexdigest()
    spellings = [
        secret,
        repr(secret),
        ascii(secret),
        repr(secret.encode()),
        json.dumps(secret),
        html.escape(secret),
    ]
    spellings += [json.dumps(json.dumps(secret)), json.dumps({"x": repr(secret)}), digest, quote_plus(secret)]
    spellings += [f"select '{secret.replace(chr(39), chr(39) * 2)}'", f"postgresql://u:{quote(secret)}@h/d"]
    if len(secret) >= 16:
        half = len(secret) // 2
        spellings += [
            f"{secret[:half]}\n    {secret[half:]}",
            f"LINE 1: …{secret[2:]} …",
            f"{secret[:-3]}...",
        ]
    for user in ("", "u", "us", "usr"):
        spellings.append(base64.b64encode(f"{user}:{secret}".encode()).decode())
    for written in spellings:
        masked = redacted(f"so {written} it is")
        assert MASK in masked, written
        assert not any(piece in masked for piece in (secret, secret[1:-1], digest)), masked


@pytest.mark.parametrize("secret", ["c4n4ry-of-base64/äß>>??", "k?>9~", "0123456789abcdef" * 3])
@pytest.mark.parametrize("before", ["", "u", "us", "usr:", "somebody@example.org:", "xy" * 40])
def test_of_a_base64_text_that_holds_a_secret_nothing_is_shown(secret: str, before: str) -> None:
    redaction.register(secret)
    for after in ("", "a", "ab", "abc", "-and more of it", "xy" * 40):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(f"{before}{secret}{after}".encode()).decode()
            for shown in (encoded, encoded.rstrip("="), quote(encoded, safe="")):
                assert redacted(f"so '{shown}', it is") == f"so '{MASK}', it is", shown
            if len(secret) > 40:
                cut = encoded[len(before) * 4 // 3 + 20 :]
                assert redacted(f"so …{cut} it is") == f"so …{MASK} it is"


def test_a_secret_in_base64_that_lines_break_is_masked_and_the_lines_around_it_stay() -> None:
    redaction.register("c4n4ry-of-lines-that-break")
    for before in range(60):
        encoded = base64.encodebytes(b"u" * before + b"c4n4ry-of-lines-that-break").decode()
        masked = redacted(f"first\n{encoded}\nlast")
        assert MASK in masked
        assert masked.startswith("first\n")
        assert masked.endswith("\nlast")
        assert "=" not in masked
        assert not any(part in masked for part in (encoded[-5:-1], encoded[-20:-1]))


def test_a_long_base64_text_is_masked_at_once() -> None:
    redaction.register("c4n4ry-of-a-long-text")
    encoded = base64.b64encode(b"x" * 1_000_000 + b"c4n4ry-of-a-long-text" + b"y" * 1_000_000).decode()
    assert redacted(encoded) == MASK


def test_a_short_secret_is_masked_as_a_word_and_a_common_word_only_where_it_is_named() -> None:
    redaction.register("late")
    redaction.register("abc")
    redaction.register("millpond")
    assert redacted("the latest is late, abc") == f"the latest is {MASK}, abc"
    assert redacted("millpond: password=millpond ?token=abc") == f"millpond: password={MASK} ?token={MASK}"


def test_logs_and_uncaught_errors_are_masked_whoever_writes_them() -> None:
    script = """
import logging, threading
from millpond.redaction import register
register("c4n4ry-of-hooks")
logging.basicConfig(level="DEBUG")
log = logging.getLogger("somebody.else")
log.info("asked %s", "c4n4ry-of-hooks")
def fail(): raise KeyError("c4n4ry-of-hooks")
try:
    fail()
except KeyError:
    log.exception("failed")
thread = threading.Thread(target=fail); thread.start(); thread.join()
try:
    fail()
except KeyError as error:
    raise RuntimeError("second") from error
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "c4n4ry" not in ended.stdout + ended.stderr
    assert ended.stderr.count("KeyError") == 3
    assert "RuntimeError: second" in ended.stderr


def test_an_excerpt_is_one_short_line_without_secrets() -> None:
    redaction.register(SECRET)
    shown = excerpt(f"<html>\n\t{SECRET}\x00\x1b[31m".encode() + b"x" * 10_000)
    assert shown.startswith(f"<html> {MASK} [31mxxx")
    assert shown.endswith("…")
    assert len(shown) == 201
