"""How a REST source is asked for the rows of a time: parameters that are tried, or its order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
_DAY: Final = 86_400_000_000
_REACH: Final = {"rows": 10_000, "days": 365}


def find_window(
    client: Client, first: Answer, time: Field, extra: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the window that asks for the rows of a time; None where none was found.

    `extra` are parameters for a large page, so that a filter is not taken for the end of one.
    """
    unit = time.unit if time.unit in {"ms", "s"} else "iso"
    instants = sorted(moment for row in first.rows if (moment := instant_of(row.get(time.name), unit)))
    if len(set(instants)) > 1:
        low, high = instants[len(instants) // 4], instants[(3 * len(instants)) // 4]
        if low == high:
            low, high = instants[0], instants[-1]
        for params in _candidates(time.name, unit):
            if client.requests > _MOST:
                break
            if _filters(client, params, time.name, unit, low, high, extra):
                return {"params": params}
    return {"reach": _REACH} if _is_newest_first(first, time.name, unit) else None


def _candidates(name: str, unit: str) -> Iterator[dict[str, str]]:
    stems = dict.fromkeys((name, name.removesuffix("_at").removesuffix("_on")))
    pairs = [*_PAIRS, *((low.format(stem), high.format(stem)) for stem in stems for low, high in _OF_TIME)]
    for form in dict.fromkeys((unit, "iso")):
        for low, high in pairs:
            yield {low: f"{{start_{form}}}", high: f"{{end_{form}}}"}
    for low, high in pairs:
        yield {low: "{start_date}", high: "{last_date}"}


def _filters(
    client: Client,
    params: Mapping[str, str],
    name: str,
    unit: str,
    low: int,
    high: int,
    extra: Mapping[str, str],
) -> bool:
    answer = client.try_get(**extra, **fill(params, bounds(low, high)))
    if answer is None or not answer.rows or answer.single_object:
        return False
    instants = [instant_of(row.get(name), unit) for row in answer.rows]
    if "{start_date}" in params.values():
        low, high = low // _DAY * _DAY, (high // _DAY + 1) * _DAY
    return all(found is not None and low - 1_000_000 <= found <= high + 1_000_000 for found in instants)


def _is_newest_first(first: Answer, name: str, unit: str) -> bool:
    instants: Sequence[int | None] = [instant_of(row.get(name), unit) for row in first.rows]
    known = [found for found in instants if found is not None]
    return len(known) > 1 and known == sorted(known, reverse=True) and known[0] > known[-1]
