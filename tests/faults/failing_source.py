"""What a load of one day from a source that fails leads to: the day's rows, or an error without a secret."""

from __future__ import annotations

import datetime as dt

from fake_source import DAY, reading
from millpond.errors import MillpondError
from source_tables import load_days, raw

ROWS = [reading(n) for n in range(3)]
CANARY = "c4n4ry-s3cret-t0ken"
"""The source's token, which no message may contain."""


def failure(day: dt.date = DAY) -> MillpondError:
    """Return why the load of `day` failed; nothing was written."""
    result = load_days(day)
    assert result.partitions == []
    assert raw() == []
    error = result.failed[day]
    assert CANARY not in str(error)
    assert "dlt_climate_entries, 2026-11-01" in error.what
    assert error.unharmed
    assert error.next_step
    return error


def load_rows() -> None:
    """Load ROWS from a source that recovers in time."""
    result = load_days(DAY)
    assert not result.failed
    assert len(raw()) == len(ROWS)
