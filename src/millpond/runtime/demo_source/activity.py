"""Real commit times as GitHub would report one person's public events.

The times are two years of somebody's commits (`recordings/`). Kinds of events and
repositories (demo/…) are made up from a fixed seed.
"""

from __future__ import annotations

import datetime as dt
import json
import random

import numpy as np

from millpond.runtime.demo_source.replay import Replay, read_recording

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
_REPOSITORIES = ("demo/lake", "demo/mill", "demo/notes", "demo/website")
_ACTOR = 4242


def recording() -> tuple[Replay, list[tuple[str, int]]]:
    """Return when events happen, and for each its kind and the number of its repository."""
    kept = [second * 1000 for (second,) in read_recording("commits")]
    chance = random.Random(_SEED)  # noqa: S311 - no secret, a fixed sequence
    kinds = chance.choices(list(_KINDS), list(_KINDS.values()), k=len(kept))
    return Replay(np.array(kept, dtype=np.int64), _WEEKS), [(k, chance.randrange(4)) for k in kinds]


def as_json(event: tuple[str, int], ms: int, user: str) -> bytes:
    """Return the event as the API reports it when it happens at `ms` (milliseconds since 1970)."""
    kind, repository = event
    created = dt.datetime.fromtimestamp(ms // 1000, dt.UTC)
    return json.dumps(
        {
            "id": str(ms // 1000 + 30_000_000_000),
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
