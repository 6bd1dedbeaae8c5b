"""What the parts of `millpond up` and runs used of the machine, as sampled."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from millpond.runtime.databases import databases
from millpond.runtime.sampling import ENDED

_BUCKETS = 240


@dataclass(frozen=True)
class Usage:
    """Average cores and largest bytes of a part within one step of time that begins at `at`."""

    at: dt.datetime
    part: str
    cores: float
    bytes: int


@dataclass(frozen=True)
class RunUsage:
    """What a run used: its largest memory and average cores, over its samples while it runs."""

    run: str
    first: dt.datetime
    cores: float
    bytes: int


_USAGE = """
    select to_timestamp(floor(extract(epoch from at) / %(step)s) * %(step)s), part,
        avg(cores), max(bytes)::bigint
    from (
        select at, part, sum(cores) as cores, sum(bytes) as bytes from resource_samples
        where at >= %(since)s and at < %(until)s and part <> %(ended)s group by at, part
    ) moment
    group by 1, 2 order by 1, 2
"""
_RUNS = """
    select run_id, min(at), coalesce(max(cores) filter (where part = %(ended)s), avg(cores)), max(bytes)
    from resource_samples
    where at >= %(since)s and at < %(until)s and run_id <> ''
    group by 1 order by 2 desc limit 100
"""


def read_usage(since: dt.datetime, until: dt.datetime) -> list[Usage]:
    """Return what each part used in a span of time, in at most 240 steps; runs together are part `run`.

    The parts `machine` and `disk` are the whole machine and its file system.
    """
    step = max(30.0, (until - since).total_seconds() / _BUCKETS)
    values = {"since": since, "until": until, "step": step, "ended": ENDED}
    with databases().ops.connect() as connection:
        rows = connection.execute(_USAGE, values).fetchall()
    return [Usage(*row) for row in rows]


def read_run_usage(since: dt.datetime, until: dt.datetime) -> list[RunUsage]:
    """Return what the latest runs of a span of time used; those that were killed early may have no sample."""
    with databases().ops.connect() as connection:
        rows = connection.execute(_RUNS, {"since": since, "until": until, "ended": ENDED}).fetchall()
    return [RunUsage(*row) for row in rows]
