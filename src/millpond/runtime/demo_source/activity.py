"""Real commit times as GitHub would report one person's public events.

The times are two years of somebody's commits (`recordings/`). Kinds of events and
repositories (demo/…) are made up from a fixed seed.

The times are completed and thinned, so that a demo shows something on every date. Gaps of most of a day are
filled with events of the repository demo/made-up. The busiest days keep a part of their events only, so that
the 300 events that GitHub lists always reach back further than the longest demo.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from millpond.runtime.demo_source.replay import WEEK_MS, Replay, read_recording

_Offsets = npt.NDArray[np.int64]
_WEEKS = 103
_SEED = 20150427
_KINDS = {
    "PushEvent": 64,
    "CreateEvent": 6,
    "DeleteEvent": 2,
    "PullRequestEvent": 8,
    "PullRequestReviewEvent": 4,
    "IssuesEvent": 5,
    "IssueCommentEvent": 4,
    "WatchEvent": 3,
    "ForkEvent": 1,
    "ReleaseEvent": 1,
    "GollumEvent": 1,
    "CommitCommentEvent": 1,
}
_REPOSITORIES = ("demo/lake", "demo/mill", "demo/notes", "demo/website", "demo/made-up")
_MADE_UP = len(_REPOSITORIES) - 1
_HOUR_MS = 3600 * 1000
_DAY_MS = WEEK_MS // 7
_LONGEST_GAP_MS = 22 * _HOUR_MS
"""Shorter than the shortest day of any time zone, so each has an event."""
LISTED_DAYS = 95
"""How far back events are listed: more than a demo of 90 days."""
_MOST_LISTED = 295
"""At most so many events happen in LISTED_DAYS: fewer than the 300 at which a listing is cut."""
_ACTOR = 4242


def recording() -> tuple[Replay, list[tuple[str, int]]]:
    """Return when events happen, and for each its kind and the number of its repository."""
    recorded = np.array([second * 1000 for (second,) in read_recording("commits")], dtype=np.int64)
    made_up = _fillers(recorded)
    real = _thin(recorded, made_up)
    chance = random.Random(_SEED)  # noqa: S311 - no secret, a fixed sequence
    rows = [(offset, chance.randrange(_MADE_UP)) for offset in real.tolist()]
    rows = sorted(rows + [(offset, _MADE_UP) for offset in made_up.tolist()])
    kinds = chance.choices(list(_KINDS), list(_KINDS.values()), k=len(rows))
    offsets = np.array([offset for offset, _ in rows], dtype=np.int64)
    return Replay(offsets, _WEEKS), [(kind, row[1]) for kind, row in zip(kinds, rows, strict=True)]


def as_json(event: tuple[str, int], ms: int, user: str) -> bytes:
    """Return the event as the API reports it when it happens at `ms` (milliseconds since 1970)."""
    kind, repository = event
    created = dt.datetime.fromtimestamp(ms // 1000, dt.UTC)
    return json.dumps(
        {
            "id": key(ms // 1000),
            "type": kind,
            "actor": {"id": _ACTOR, "login": user},
            "repo": {"id": 1000 + repository, "name": _REPOSITORIES[repository]},
            "payload": {"ref": "refs/heads/main", "size": 1}
            if kind == "PushEvent"
            else {"action": "made up"},
            "public": True,
            "created_at": created.isoformat().replace("+00:00", "Z"),
        },
        separators=(",", ":"),
    ).encode()


def key(second: int) -> str:
    """Return the id of the event that happens at `second` since 1970."""
    return str(second + 30_000_000_000)


def _fillers(offsets: _Offsets) -> _Offsets:
    """Return times that cut each gap between `offsets`, which repeat, to `_LONGEST_GAP_MS` at most."""
    period = _WEEKS * WEEK_MS
    out = []
    for start, end in pairwise([*offsets.tolist(), int(offsets[0]) + period]):
        parts = -(-(end - start) // _LONGEST_GAP_MS)
        out += [(start + (end - start) * part // parts) // 1000 * 1000 % period for part in range(1, parts)]
    return np.array(sorted(out), dtype=np.int64)


def _thin(offsets: _Offsets, made_up: _Offsets) -> _Offsets:
    """Return `offsets` without so many of the busiest days that `_MOST_LISTED` holds in each LISTED_DAYS.

    A day keeps its first and last event, so no gap grows.
    """
    days = _WEEKS * 7
    counts = np.bincount(offsets // _DAY_MS, minlength=days)
    listed = LISTED_DAYS + 1  # the span need not begin at midnight
    while True:
        both = counts + np.bincount(made_up // _DAY_MS, minlength=days)
        sums = np.convolve(np.append(both, both[: listed - 1]), np.ones(listed, np.int64), "valid")
        if sums.max() <= _MOST_LISTED:
            break
        span = (int(sums.argmax()) + np.arange(listed)) % days
        counts[span[counts[span].argmax()]] -= 1
    kept = []
    for day in np.flatnonzero(counts).tolist():
        found = offsets[offsets // _DAY_MS == day]
        kept.append(found[np.linspace(0, len(found) - 1, counts[day]).round().astype(int)])
    return np.concatenate(kept)
