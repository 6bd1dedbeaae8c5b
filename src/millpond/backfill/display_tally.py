"""How far a backfill is: what each finished day, or whole asset, came to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from millpond.backfill.counts import METADATA
from millpond.backfill.ledger_chunks import Part, Settled
from millpond.backfill.pieces import Key

_WORST_FIRST = (Part.FAILED, Part.BLOCKED, Part.UNREACHABLE, Part.DONE)
Unit = dt.date | str
"""A day with all its assets, or a whole asset."""


@dataclass(frozen=True)
class Finished:
    """A unit of which every asset is settled; `rows` are those loaded, else those of the largest asset.

    `counts` are sums over its assets, see `counts`.
    """

    number: int
    unit: Unit
    state: Part
    rows: int | None
    seconds: float | None
    reason: str
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Tally:
    """Counts the partitions that a sitting of a backfill has to make."""

    keys: Iterable[Key]
    finished: list[Finished] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open: dict[Unit, set[Key]] = {}
        for key in self.keys:
            self._open.setdefault(_unit(key), set()).add(key)
        self._settled: dict[Unit, dict[Key, Settled]] = {unit: {} for unit in self._open}
        self.total = len(self._open)

    def settle(self, settled: Mapping[Key, Settled]) -> Iterator[Finished]:
        """Take in what came of partitions; yields the units that are finished by it."""
        for key, outcome in settled.items():
            unit = _unit(key)
            if key not in self._open.get(unit, ()):
                continue
            self._open[unit].discard(key)
            self._settled[unit][key] = outcome
            if not self._open[unit]:
                self.finished.append(self._finished(unit))
                yield self.finished[-1]

    def _finished(self, unit: Unit) -> Finished:
        outcomes = list(self._settled[unit].values())
        worst = next(state for state in _WORST_FIRST if any(o.state == state for o in outcomes))
        loaded = [o.rows for o in outcomes if o.quarantined is not None and o.rows is not None]
        made = [o.rows for o in outcomes if o.rows is not None]
        seconds = [o.seconds for o in outcomes if o.seconds is not None]
        return Finished(
            number=len(self.finished) + 1,
            unit=unit,
            state=worst,
            rows=sum(loaded) if loaded else max(made, default=None),
            seconds=sum(seconds) if seconds else None,
            counts={name: sum(getattr(o, name) or 0 for o in outcomes) for name in METADATA},
            reason=next((o.reason for o in outcomes if o.state == worst and o.reason), ""),
        )


def _unit(key: Key) -> Unit:
    return key[1] or key[0]
