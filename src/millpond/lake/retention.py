"""How long what nobody needs any more is kept: audit branches that runs left behind, and pins."""

from __future__ import annotations

import datetime as dt

from millpond.errors import LakeError
from millpond.lake.pins import expire_pins
from millpond.lake.refs import Ref, drop, list_refs
from millpond.settings import settings

_RUN_MAY_TAKE = dt.timedelta(days=1)
"""An audit branch without a note may belong to a run at work; an older one was left by a kill."""


def clean(older_than: dt.timedelta | None = None, *, dry_run: bool = False) -> list[Ref]:
    """Drop the audit branches older than that (default: the setting) and the expired pins.

    Returns the branches that were dropped, or with `dry_run` would be. Branches that a person made stay,
    and so do those that others were taken from.
    """
    age = dt.timedelta(days=settings().branch_retention_days) if older_than is None else older_than
    now = dt.datetime.now(dt.UTC)
    there = list_refs()
    needed = {ref.base for ref in there}
    due = [ref for ref in there if ref.name not in needed and now - ref.created_at >= _lifetime(ref, age)]
    if dry_run:
        return due
    expire_pins()
    dropped = [ref for ref in due if _drop(ref.name)]
    if settings().scale:
        from millpond.lake import trino

        trino.drop_catalogs_of_dropped([ref.name for ref in list_refs()])
    return dropped


def _lifetime(ref: Ref, age: dt.timedelta) -> dt.timedelta:
    if ref.state == "audit kept":
        return age
    return max(age, _RUN_MAY_TAKE) if ref.state == "audit" else dt.timedelta.max


def _drop(name: str) -> bool:
    """Drop a branch unless somebody else has, or has meanwhile taken a branch from it."""
    try:
        drop(name)
    except LakeError:
        return False
    return True
