"""The glucose recording as a Nightscout server would store it, with the flaws that real uploads have.

Readings and gaps are real: 28 weeks of one person (`recordings/`). Everything else is made up from a fixed
seed: devices are called demo-…, directions follow from the slope, and rows of the device demo-made-up never
happened: finger sticks, calibrations, broken rows, and an hour of readings in the one gap longer than a day.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np

from millpond.runtime.demo_source.replay import WEEK_MS, Replay, read_recording

_WEEKS = 28
_SEED = 20100329
_READINGS_PER_DAY = 288
_DAY_MS = WEEK_MS // 7
_LONGEST_GAP_MS = 22 * 3600 * 1000
"""Shorter than the shortest day of any time zone, so each has a reading."""
_ARROWS = (
    (3.0, "DoubleUp", 1),
    (2.0, "SingleUp", 2),
    (1.0, "FortyFiveUp", 3),
    (-1.0, "Flat", 4),
    (-2.0, "FortyFiveDown", 5),
    (-3.0, "SingleDown", 6),
    (float("-inf"), "DoubleDown", 7),
)
_KEYS = ("reading", "mbg", "cal", "broken")
"""What makes the ids of entries, see `_Entry.key`."""
_BROKEN: tuple[object, ...] = (None, "LOW", -5, 1002)
"""What stands in `sgv` of a broken row: nothing, text, numbers no sensor can show."""


@dataclass(frozen=True)
class _Entry:
    """A stored row but for its time: `key` makes its id, `delay` is how long the upload took, in seconds."""

    kind: str
    value: object
    device: str
    arrow: tuple[str, int] | None = None
    delay: int = 30
    key: str = "reading"

    @cached_property
    def timeless(self) -> bytes:
        """The end of its JSON: all fields that do not depend on when it happens."""
        row: dict[str, object] = {"type": self.kind, "device": self.device, "utcOffset": 0}
        if self.kind == "sgv":
            name, trend = self.arrow or ("NONE", 0)
            row |= {"sgv": self.value, "direction": name, "trend": trend, "noise": 1, "rssi": 100}
            if isinstance(self.value, int):
                row |= {"filtered": self.value * 1000, "unfiltered": self.value * 1005}
        else:
            row["mbg" if self.kind == "mbg" else "slope"] = self.value
        return json.dumps(row, separators=(",", ":")).encode()[1:]


def recording() -> tuple[Replay, list[_Entry]]:
    """Return when entries happen and what they are, sorted by time."""
    rows = sorted([*_readings(), *_synthesize()], key=lambda row: row[0])
    return Replay(np.array([offset for offset, _ in rows], dtype=np.int64), _WEEKS), [e for _, e in rows]


def as_json(entry: _Entry, ms: int) -> bytes:
    """Return `entry` as the server stores it when it happens at `ms` (milliseconds since 1970)."""
    return b'{"_id":"%s","date":%d,"dateString":"%s","sysTime":"%s",%s' % (
        _key(entry.key, ms).encode(),
        ms,
        _iso(ms),
        _iso(ms + 1000 * entry.delay),
        entry.timeless,
    )


def is_key(key: str, ms: int) -> bool:
    """Return whether `key` is what `as_json` gives an entry that happens at `ms`."""
    return any(key == _key(kind, ms) for kind in _KEYS)


def _key(kind: str, ms: int) -> str:
    return hashlib.md5(f"{ms} {kind}".encode(), usedforsecurity=False).hexdigest()[:24]


@lru_cache(1)
def _read_days() -> list[tuple[int, int]]:
    """Return (milliseconds since the first day, mg/dL) of each reading, in order."""
    return [(second * 1000, value) for second, value in read_recording("glucose")]


def _readings() -> Iterator[tuple[int, _Entry]]:
    """Yield the readings; some were uploaded twice, some corrected later, as real uploaders do."""
    chance = random.Random(_SEED)  # noqa: S311 - no secret, a fixed sequence
    before: tuple[int, int] | None = None
    for offset, value in _read_days():
        entry = _Entry("sgv", value, "demo-cgm", _arrow(before, (offset, value)))
        yield offset, entry
        draw = chance.random()
        if draw < 1 / _READINGS_PER_DAY:
            yield offset, entry
        elif draw < 1.25 / _READINGS_PER_DAY:
            yield offset, _Entry("sgv", value + 1, "demo-cgm", entry.arrow, delay=3600)
        before = offset, value


def _synthesize() -> Iterator[tuple[int, _Entry]]:
    chance = random.Random(_SEED + 1)  # noqa: S311 - no secret, a fixed sequence
    readings = Counter(offset // _DAY_MS for offset, _ in _read_days())
    for number in range(_WEEKS * 7):

        def moment(start: int = number * _DAY_MS) -> int:
            return start + 1000 * chance.randrange(_DAY_MS // 1000)

        yield moment(), _Entry("mbg", chance.randrange(70, 200), "demo-made-up", key="mbg")
        if number % 3 == 0:
            yield moment(), _Entry("cal", chance.randrange(800, 1000), "demo-made-up", key="cal")
        if readings[number] >= _READINGS_PER_DAY // 8:  # elsewhere it would spoil the day
            yield moment(), _Entry("sgv", chance.choice(_BROKEN), "demo-made-up", key="broken")
    for (start, value), (end, _) in pairwise(_read_days()):
        if end - start > _LONGEST_GAP_MS:
            middle = (start + end) // 2
            for minutes in range(-30, 30, 5):
                yield middle + minutes * 60_000, _Entry("sgv", value, "demo-made-up", ("Flat", 4))


def _arrow(before: tuple[int, int] | None, now: tuple[int, int]) -> tuple[str, int]:
    if before is None or now[0] == before[0] or now[0] - before[0] > 15 * 60_000:
        return "NONE", 0
    per_minute = (now[1] - before[1]) / ((now[0] - before[0]) / 60_000)
    return next((name, trend) for least, name, trend in _ARROWS if per_minute >= least)


def _iso(ms: int) -> bytes:
    day, rest = divmod(ms, _DAY_MS)
    seconds, millis = divmod(rest, 1000)
    return b"%sT%02d:%02d:%02d.%03dZ" % (
        _date(day),
        seconds // 3600,
        seconds // 60 % 60,
        seconds % 60,
        millis,
    )


@lru_cache(1024)
def _date(day: int) -> bytes:
    return (dt.date(1970, 1, 1) + dt.timedelta(day)).isoformat().encode()
