"""How a REST source is asked for the rows of a time: parameters that are seen to filter, or its order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from millpond.ingestion.inspection.fields import Field, instant_of
from millpond.ingestion.inspection.rest_answers import Answer, Client
from millpond.ingestion.rest.placeholders import bounds, fill

_PAIRS: Final = (
    *(("from", "until"), ("from", "to"), ("since", "until"), ("start", "end"), ("after", "before")),
    *(("start_time", "end_time"), ("start_date", "end_date"), ("startDate", "endDate")),
    *(("date_from", "date_to"), ("from", "before"), ("start", "stop"), ("min_date", "max_date")),
)
_OF_TIME: Final = (
    *(("{}_after", "{}_before"), ("{}_from", "{}_to"), ("{}_gte", "{}_lt"), ("{}__gte", "{}__lt")),
    *(("{}[gte]", "{}[lt]"), ("{}_min", "{}_max"), ("min_{}", "max_{}"), ("{}_since", "{}_until")),
)
"""Pairs of parameters, the latter after the name of the time or its first word."""
_MOST: Final = 90
_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND
_REACH: Final = {"rows": 10_000, "days": 365}
_ALL_LATER: Final = "36500d"


def find_window(
    client: Client, first: Answer, time: Field, extra: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the window that asks for the rows of a time; None where none was found.

    A pair of parameters is taken if each of them, sent alone, leaves out rows of the sample: those before the
    time, or those after it. `extra` are parameters for a large page, so that a filter is not taken for the
    end of one.
    """
    unit = time.unit if time.unit in {"ms", "s"} else "iso"
    instants = sorted(moment for row in first.rows if (moment := instant_of(row.get(time.name), unit)))
    middle = {form: _middle(instants, step) for form, step in (("", _SECOND), ("date", _DAY))}
    lower: dict[str, Any] | None = None
    for params in _candidates(time.name, unit):
        span = middle["date" if "{start_date}" in params.values() else ""]
        if span is None or client.requests > _MOST:
            continue
        trial = _Trial(client, time.name, unit, span, extra)
        found = trial.judge(params)
        if found == set(params):
            return {"params": params}
        if found and lower is None:
            lower = {"params": {name: params[name] for name in found}, "margin": _ALL_LATER}
    if lower:
        return lower
    return {"reach": _REACH} if _is_newest_first(first, time.name, unit) else None


def _middle(instants: Sequence[int], step: int) -> tuple[int, int] | None:
    """Return a span of whole steps that has some of `instants`, where others are before and after it."""
    steps = sorted({moment // step for moment in instants})
    inner = [number for number in steps[1:-1] if steps[0] + 1 < number < steps[-1] - 2 or step == _DAY]
    if not inner:
        return None
    return inner[len(inner) // 4] * step, (inner[(3 * len(inner)) // 4] + 1) * step


def _candidates(name: str, unit: str) -> Iterator[dict[str, str]]:
    stems = dict.fromkeys((name, name.removesuffix("_at").removesuffix("_on")))
    pairs = [*_PAIRS, *((low.format(stem), high.format(stem)) for stem in stems for low, high in _OF_TIME)]
    for form in dict.fromkeys((unit, "iso")):
        for low, high in pairs:
            yield {low: f"{{start_{form}}}", high: f"{{end_{form}}}"}
    for low, high in pairs:
        yield {low: "{start_date}", high: "{last_date}"}


@dataclass(frozen=True)
class _Trial:
    """Requests for the rows of `span`, in microseconds; the sample has others before and after it."""

    client: Client
    name: str
    unit: str
    span: tuple[int, int]
    extra: Mapping[str, str]

    def judge(self, params: Mapping[str, str]) -> set[str]:
        """Return those of a lower and an upper bound that filter, alone too if the source takes one alone."""
        low, high = params
        both = self._bounds(params)
        if both is None or not both[0]:
            return set()
        alone = self._bounds({low: params[low]})
        if alone is not None and not alone[0]:
            return set()
        if not both[1]:
            return {low} if alone else set()
        upper = self._bounds({high: params[high]})
        return {low, high} if upper is None or upper[1] else {low}

    def _bounds(self, params: Mapping[str, str]) -> tuple[bool, bool] | None:
        """Return whether an answer has no rows before the span, and none after it; None if it has none."""
        start, end = self.span
        answer = self.client.try_get(**self.extra, **fill(params, bounds(start, end)))
        if answer is None or not answer.rows or answer.single_object:
            return None
        instants = [instant_of(row.get(self.name), self.unit) for row in answer.rows]
        known = [moment for moment in instants if moment is not None]
        if len(known) < len(instants):
            return None
        slack = 0 if "{start_date}" in params.values() or "{last_date}" in params.values() else _SECOND
        return min(known) >= start - slack, max(known) < end + slack


def _is_newest_first(first: Answer, name: str, unit: str) -> bool:
    instants: Sequence[int | None] = [instant_of(row.get(name), unit) for row in first.rows]
    known = [found for found in instants if found is not None]
    return len(known) > 1 and known == sorted(known, reverse=True) and known[0] > known[-1]
