"""The circuit breaker of a source's host, shared by all processes and kept over restarts.

Closed: everybody asks. After `breaker_failures` loads in a row that got no answer it opens, and nobody asks
for `breaker_pause_seconds`. Then one request of one process is the probe: an answer closes it.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from millpond import notices
from millpond.errors import BreakerOpen, SourceError, SourceUnreachable
from millpond.ingestion.source_errors import UNHARMED, origin
from millpond.redaction import redacted
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow
from millpond.settings import settings

KIND: Final = "breaker_open"
_PROBE_SECONDS: Final = 60.0
"""A probe that has not told its outcome by then, because its process was killed, is given up."""

_SELECT = "select host, failures, opened_at, next_probe, last_error, next_probe <= now() as due from breakers"
_CLAIM = """
    update breakers set next_probe = now() + %s * interval '1 second'
    where host = %s and opened_at is not null and next_probe <= now()
"""
_FAILED = """
    insert into breakers (host, failures, last_error) values (%s, 1, %s)
    on conflict (host) do update set failures = breakers.failures + 1, last_error = excluded.last_error
    returning failures, opened_at
"""
_OPEN = "update breakers set opened_at = now(), next_probe = now() + %s * interval '1 second' where host = %s"
_REOPEN = """
    update breakers set failures = failures + 1, last_error = %s,
        next_probe = now() + %s * interval '1 second'
    where host = %s and opened_at is not null
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Breaker:
    """A host that failed of late: since `opened_at`, if it is open, nobody asks it before `next_probe`."""

    host: str
    failures: int
    opened_at: dt.datetime | None
    next_probe: dt.datetime | None
    last_error: str
    due: bool | None = None

    @property
    def words(self) -> str:
        """What people are told of an open one."""
        assert self.opened_at
        assert self.next_probe
        return (
            f"{self.host} is left alone since {_moment(self.opened_at)}, after {self.failures} failures"
            f" in a row; the next try is at {_moment(self.next_probe)}. Last: {self.last_error}"
        )


def host_of(url: str) -> str:
    """Return the key of the server that `url` leads to, for example `https://cgm.example.org:443`."""
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"


def admit(
    host: str, probe: Callable[[], object], alongside: Callable[[psycopg.Connection[Any]], None] | None = None
) -> Breaker | None:
    """Return what is known of `host` if it may be asked; None if it did not fail of late. Costs one read.

    `alongside` may check something else first, over the same connection.
    When it is open and a probe is due, one caller of all makes it: `probe` sends one request, and any answer
    closes the breaker. Raises BreakerOpen if the host is not to be asked now, or did not answer the probe.
    """
    known = _read(host, alongside)
    if known is None or known.opened_at is None:
        return known
    if not known.due or not _claim_probe(host):
        raise _refusal(host, known)
    try:
        probe()
    except SourceUnreachable as error:
        values = (_short(error), settings().breaker_pause_seconds, host)
        _note(lambda connection: connection.execute(_REOPEN, values))
        raise _refusal(host, known) from error
    except SourceError as error:
        _log.info("%s answers again, though not as it should: %s", host, error.what)
    close(host, "It answers again.")
    return None


def record_failure(host: str, error: SourceError, source: str, assets: Sequence[str]) -> None:
    """Note a load that got no answer; with it, the breaker may open."""
    limit, pause = settings().breaker_failures, settings().breaker_pause_seconds

    def note(connection: psycopg.Connection[Any]) -> None:
        failures, opened_at = connection.execute(_FAILED, (host, _short(error))).fetchone() or (0, None)
        if failures < limit or opened_at:
            return
        connection.execute(_OPEN, (pause, host))
        notices.tell(
            connection,
            KIND,
            host,
            f"source {source}: {host} does not answer",
            f"{failures} loads in a row failed, so nobody asks it for {pause:g} s. Last: {_short(error)}",
            assets=assets,
        )

    _note(note)


def record_answer(host: str, known: Breaker | None) -> None:
    """Note that `host` answered a load, to which `admit` had returned `known`; no cost if it was well."""
    if known:
        _note(lambda c: c.execute("delete from breakers where host = %s and opened_at is null", (host,)))


def close(host: str, words: str) -> bool:
    """Let everybody ask `host` again, and have those who were told hear it; returns whether it was open."""

    def note(connection: psycopg.Connection[Any]) -> bool:
        gone = connection.execute(
            "delete from breakers where host = %s returning opened_at", (host,)
        ).fetchone()
        if gone and gone[0]:
            notices.over(connection, KIND, host, words)
        return bool(gone and gone[0])

    return bool(_note(note))


def breakers() -> list[Breaker]:
    """Return the hosts that failed of late, by name."""
    with borrow(databases().ops) as connection, connection.cursor(row_factory=class_row(Breaker)) as cursor:
        return cursor.execute(f"{_SELECT} order by host").fetchall()


def _read(host: str, alongside: Callable[[psycopg.Connection[Any]], None] | None = None) -> Breaker | None:
    with borrow(databases().ops) as connection, connection.cursor(row_factory=class_row(Breaker)) as cursor:
        if alongside:
            alongside(connection)
        return cursor.execute(f"{_SELECT} where host = %s", (host,)).fetchone()


def _claim_probe(host: str) -> bool:
    """Return whether this caller makes the probe; of several at once, one does."""
    return bool(_note(lambda c: c.execute(_CLAIM, (_PROBE_SECONDS, host)).rowcount))


def _note(work: Callable[[psycopg.Connection[Any]], Any]) -> Any:
    """Run `work` in one transaction on the breakers."""
    with borrow(databases().ops) as connection, connection.transaction():
        return work(connection)


def _refusal(host: str, known: Breaker) -> BreakerOpen:
    """Return the reason why `host` is not asked; the time of the next try may have moved meanwhile."""
    now = _read(host)
    return BreakerOpen(
        (now if now and now.opened_at else known).words,
        unharmed=UNHARMED,
        next_step="wait for the next try, which is made by whatever asks first; once the host is back,"
        f" `millpond sources reset {host}` lets all ask at once",
    )


def _short(error: SourceError) -> str:
    return redacted(error.what)[:400]


def _moment(at: dt.datetime) -> str:
    return f"{at.astimezone(settings().zone):%Y-%m-%d %H:%M:%S}"
