"""What follows from a run of a piece: which partitions are settled, which go into another, smaller run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from millpond.backfill.ledger_chunks import Part, Settled
from millpond.backfill.pieces import Key, Piece, grouped
from millpond.partitions import Window

ATTEMPTS = 3
"""How often a piece is run whose failure may pass by itself."""

_BEYOND_REACH = "BeyondReach"
_OF_ONE_DAY = {"TooManyBadRows", "FieldsMissing", "NoRows", "RowsHeldBack", "NothingHeld", _BEYOND_REACH}
"""Errors that name exactly the days they are about."""
_OF_DAYS_TOGETHER = {"TimesUnreadable"}
"""Errors that a day may have only because it was asked for together with others."""
_PASSING = {
    "SourceUnreachable",
    "SourceLimited",
    "LockTimeout",
    "PartitionConflict",
    "MergeConflict",
    "OutcomeUnknown",
    "StorageFailed",
    "EmbeddedPartError",
    "PublishFailed",
    "MartsHeld",
    "OperationalError",
    "InterfaceError",
    "DisconnectionError",
    "ConnectionError",
}
_OF_EVERY_DAY = {
    "ConfigError",
    "NoSourceAddress",
    "OriginChanged",
    "ZoneChanged",
    "SourceRefused",
    "BreakerOpen",
    "InputMissing",
    "RefNotFound",
    *_PASSING,
}
"""Errors that fewer days do not avoid."""


@dataclass(frozen=True)
class Failure:
    """Why `assets` failed, in the days of `window`; None for all days of the piece.

    `unharmed` says what still stands, `next` what to do.
    """

    assets: tuple[str, ...]
    error: str
    reason: str
    window: Window | None = None
    unharmed: str = ""
    next: str = ""


@dataclass(frozen=True)
class Verdict:
    """`settled` are final; `again` is run anew, after a pause if `passing` says that the cause may pass."""

    settled: dict[Key, Settled]
    again: list[Piece]
    passing: bool = False


class _Fate(Enum):
    AGAIN = auto()
    HALVE = auto()


@dataclass
class _Judge:
    piece: Piece
    done: Mapping[Key, Settled]
    failures: Collection[Failure]
    parents: Mapping[str, Collection[str]]
    had: Callable[[Key], bool]
    fates: dict[Key, Settled | _Fate] = field(default_factory=dict)
    passing: bool = False

    def fate(self, key: Key) -> Settled | _Fate:
        if key not in self.fates:
            self.fates[key] = self.done.get(key) or self._own(key) or self._inherited(key)
        return self.fates[key]

    def _own(self, key: Key) -> Settled | _Fate | None:
        asset, day = key
        for failure in self.failures:
            if asset not in failure.assets or (failure.window and day and day not in failure.window):
                continue
            if asset in self.piece.whole and failure.error not in _OF_EVERY_DAY:
                return _Fate.AGAIN  # alone: the days that it was made with may be what failed
            if failure.error == _BEYOND_REACH:
                return Settled(Part.UNREACHABLE, failure.reason)
            if failure.error in _PASSING and self.piece.attempt + 1 < ATTEMPTS:
                self.passing = True
                return _Fate.AGAIN
            if failure.error in _OF_ONE_DAY | _OF_EVERY_DAY or self._days_of(failure) <= 1:
                return Settled(Part.FAILED, failure.reason, unharmed=failure.unharmed, next=failure.next)
            return _Fate.HALVE
        return None

    def _days_of(self, failure: Failure) -> int:
        together = failure.error in _OF_DAYS_TOGETHER
        return len((None if together else failure.window) or self.piece.window or ())

    def _inherited(self, key: Key) -> Settled | _Fate:
        asset, day = key
        beside = self.piece.whole if asset in self.piece.whole else self.piece.assets
        upstream = {parent: self.fate((parent, day)) for parent in self.parents[asset] if parent in beside}
        for unsettled in (_Fate.HALVE, _Fate.AGAIN):
            if unsettled in upstream.values():
                return unsettled
        for parent, fate in upstream.items():
            if isinstance(fate, Settled) and fate.state in (Part.FAILED, Part.BLOCKED):
                where = f" of {day}" if day else ""
                return Settled(Part.BLOCKED, f"waits for {parent}{where}, which failed")
        for parent, fate in upstream.items():
            if isinstance(fate, Settled) and fate.state == Part.UNREACHABLE and not self.had((parent, day)):
                return Settled(Part.UNREACHABLE, f"{parent} of {day} is beyond reach")
        return _Fate.AGAIN


def verdict(
    piece: Piece,
    done: Mapping[Key, Settled],
    failures: Collection[Failure],
    parents: Mapping[str, Collection[str]],
    had: Callable[[Key], bool],
) -> Verdict:
    """Return what follows from a run of `piece` that made `done` and in which `failures` happened.

    A failure that names its days settles them. One that may pass is tried again, `ATTEMPTS` times in all.
    Any other is sought by halves: the good days land, the bad day is settled with the reason. What was not
    run because of another asset goes on where that one succeeded, or where it `had` a partition from before.
    `parents` are the assets that each asset reads.
    """
    judge = _Judge(piece, done, failures, parents, had)
    fates = {key: judge.fate(key) for key in piece.keys}
    settled = {key: fate for key, fate in fates.items() if isinstance(fate, Settled)}
    halve = [key for key, fate in fates.items() if fate is _Fate.HALVE]
    rest = [key for key, fate in fates.items() if fate is _Fate.AGAIN]
    if rest and not settled and not halve and not judge.passing and piece.attempt + 1 >= ATTEMPTS:
        lost = Settled(Part.FAILED, "its run ended without a word about it")
        return Verdict(dict.fromkeys(rest, lost), [])
    attempt = piece.attempt + 1 if judge.passing or not settled else piece.attempt
    again = [half for found in grouped(halve) for half in found.halves()]
    again += grouped(rest, attempt, piece.assets if piece.early else ())
    return Verdict(settled, again, judge.passing)
