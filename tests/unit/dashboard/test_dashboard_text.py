"""Names and errors are shown as text, whatever they contain, and colours are legible."""

from __future__ import annotations

import dagster as dg
import pytest
from markdown_it import MarkdownIt

from millpond import redaction
from millpond.dashboard.links import Links
from millpond.dashboard.text import describe_error, escape, escape_prose
from millpond.dashboard.theme import BACKGROUNDS, SERIES, STATES, TEXTS, Scheme
from millpond.errors import SourceRefused

NASTY = "![x](http://elsewhere/p.png) <img src=x onerror=alert(1)> [a](javascript:x) **b** :red[c] $d$ # e"


@pytest.mark.parametrize("shown", [escape(NASTY), escape_prose(NASTY), escape_prose(f"`{NASTY}` `")])
def test_markdown_in_a_name_makes_no_image_link_or_element(shown: str) -> None:
    html = MarkdownIt("commonmark").render(shown)
    assert not any(f"<{tag}" in html for tag in ("img", "a ", "strong", "h1", "em"))


def test_commands_in_a_message_stay_code() -> None:
    assert escape_prose("run `millpond up` [now]") == r"run `millpond up` \[now\]"


def test_an_error_of_ours_is_said_with_what_is_unharmed_and_what_to_do() -> None:
    error = SourceRefused("glucose refused", unharmed="the days before", next_step="set the token")
    said = describe_error(error, "Runs").split("\n\n")
    assert said == [
        "Runs cannot be shown\\: glucose refused",
        "Unharmed\\: the days before",
        "Next\\: set the token",
    ]


def test_any_other_error_is_one_line_without_secrets() -> None:
    redaction.register("hunter2hunter2")
    said = describe_error(KeyError("hunter2hunter2\nTraceback"), "Runs")
    assert "hunter2" not in said
    assert "KeyError" in said
    assert "millpond status" in said


def test_links_to_dagster_quote_what_they_are_given() -> None:
    links = Links("https://dagster.example.org")
    assert links.run("a/b?c") == "https://dagster.example.org/runs/a%2Fb%3Fc"
    key = dg.AssetKey(["marts", "x y"])
    assert links.asset(key, partition="2026-01-01") == (
        "https://dagster.example.org/assets/marts/x%20y?view=partitions&partition=2026-01-01"
    )
    assert links.asset(key) == "https://dagster.example.org/assets/marts/x%20y"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_has_the_contrast_of_text(scheme: Scheme) -> None:
    states = [pair[scheme == "dark"] for pair in STATES.values()]
    for colour in (*states, *SERIES[scheme], TEXTS[scheme]):
        for background in BACKGROUNDS[scheme]:
            assert contrast(colour, background) >= 4.5, (colour, background)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2.2."""
    high, low = sorted(map(luminance, (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
