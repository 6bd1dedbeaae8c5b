"""Sources and their hosts, as lines and as rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millpond.ingestion.breaker import Breaker

COLUMNS = ("source", "host", "tables", "state", "failures", "next_try", "days_held", "last_error")
DEMO = "demo source"
NO_ADDRESS = "no address"
"""State of a source without a URL in a home without demo data: automation leaves it out."""


def list_open_breakers() -> list[Breaker]:
    """Return the hosts to which requests are paused."""
    from millpond.ingestion.breaker import breakers

    return [each for each in breakers() if each.opened_at]


def describe_breakers(found: Sequence[Breaker]) -> list[str]:
    """Return a line for each host to which requests are paused."""
    return [each.words for each in found]


def list_rows() -> list[list[Any]]:
    """Return a row for each source, then one for each host that failed and belongs to no source."""
    from millpond.ingestion.breaker import breakers, host_of
    from millpond.ingestion.origins import has_address
    from millpond.ingestion.reading import load_sources
    from millpond.ingestion.rest.placeholders import connection, fill
    from millpond.lake.held import list_held
    from millpond.settings import settings

    configured, known = settings(), {each.host: each for each in breakers()}
    days_held = Counter(each.table for each in list_held())
    found: list[list[Any]] = []
    for source in load_sources(configured):
        of_source = configured.source(source.source)
        url = fill(source.location, connection(of_source.url, of_source.user, None))
        there = has_address(source, configured)
        host = host_of(url) if url else (DEMO if there else None)
        tables = [table.name for table in source.tables]
        kept = sum(days_held[table.raw_table] for table in source.tables)
        state = (
            _describe_state(known.pop(host or "", None), kept) if there else [NO_ADDRESS, 0, None, kept, None]
        )
        found.append([source.source, host, tables, *state])
    return found + [[None, host, [], *_describe_state(each, 0)] for host, each in known.items()]


def _describe_state(known: Breaker | None, days_held: int) -> list[Any]:
    if known is None:
        return ["healthy", 0, None, days_held, None]
    state = "left alone" if known.opened_at else "failing"
    return [state, known.failures, known.next_probe, days_held, known.last_error]
