"""What a Nightscout server and GitHub send, served by a fake source."""

from __future__ import annotations

import datetime as dt
from typing import Any

import fake_source
from fake_source import DAY


class Entries(fake_source.Entries):
    """Nightscout's entries: newest first, ten unless `count` says so, `cap` at most."""

    FROM, BEFORE = "find[date][$gte]", "find[date][$lt]"


def reading(number: int, day: dt.date = DAY, **changes: Any) -> dict[str, Any]:
    """Return an entry five minutes after the one before, with `changes`; a value of ... drops the field."""
    values = {"type": "sgv", "sgv": 100 + number % 100} | changes
    return fake_source.reading(number, day, **{"lux": ...} | values)


def event(number: int, created_at: dt.datetime) -> dict[str, Any]:
    return {
        "id": str(number),
        "type": "PushEvent",
        "actor": {"id": 1, "login": "octocat"},
        "repo": {"id": 2, "name": "octocat/hello"},
        "payload": {"commits": [{"sha": "a"}, {"sha": "b"}], "size": 1.10},
        "public": True,
        "created_at": f"{created_at:%Y-%m-%dT%H:%M:%SZ}",
    }
