"""The demo source is a part like the others where a source without an address wants it."""

from __future__ import annotations

import json
from collections.abc import Callable

from millpond.runtime.home import Home
from millpond.runtime.part import UP
from millpond.runtime.shared_parts import build_shared_parts
from millpond.settings import settings


def test_a_demo_home_has_the_demo_source_among_its_parts(home: Home) -> None:
    (part,) = [part for part in build_shared_parts(settings(), home) if part.name == "demo-source"]
    part.start()
    process = part.find()
    assert process is not None
    assert part.examine(process).state == UP


def test_the_list_of_sources_says_where_the_demo_source_stands_in(
    home: Home, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = run("sources", "list", "--json")
    assert code == 0
    assert [(each["source"], each["host"]) for each in json.loads(out)] == [
        ("diary", "demo source"),
        ("github", "demo source"),
        ("meter", "demo source"),
        ("nightscout", "demo source"),
    ]
