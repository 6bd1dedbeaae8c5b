"""An alert, and the texts that channels make of it within their limits of length."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from millpond.alerts.days import days_option, shorten_days
from millpond.alerts.kinds import KINDS, Severity
from millpond.redaction import redacted

CUT: Final = " … "
Size = Callable[[str], int]


def count_units(text: str) -> int:
    """Return the length of `text` as most services count it: in UTF-16 units, an emoji as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int, size: Size = count_units) -> str:
    """Return `text`; its middle is left out if its `size` is above `limit`."""
    keep, shown = min(len(text), limit), text
    while keep > 0 and size(shown) > limit:
        shown = _keep_ends(text, keep)
        keep = min(keep - 1, keep * limit // max(size(shown), 1))
    return shown if size(shown) <= limit else ""


def compose(cause: str, unharmed: str, next_step: str, limit: int, size: Size = count_units) -> str:
    """Return cause, what is unharmed and the next step as one text of at most `limit`.

    The last two get up to a quarter of it each; the cause gets the rest.
    """
    parts = (("Unharmed", unharmed), ("Next", next_step))
    kept = "".join(
        f"\n{name}: {cut(join_lines(text), limit // 4 - 12, size)}" for name, text in parts if text
    )
    return (cut(cause.strip(), limit - size(kept), size) + kept).strip()


def join_lines(text: str) -> str:
    """Return `text` without line breaks."""
    return " ".join(text.split())


def compose_headline(title: str, cause: str, limit: int, size: Size = count_units) -> str:
    """Return title and the first line of the cause as one line of at most `limit`."""
    first = next((line for line in cause.splitlines() if line.strip()), "")
    title = cut(join_lines(title), limit if not first else max(limit * 2 // 3, limit - size(first) - 2), size)
    room = limit - size(title) - 2
    return f"{title}: {cut(join_lines(first), room, size)}" if first and room > len(CUT) else title


def _keep_ends(text: str, keep: int) -> str:
    head = max(keep - len(CUT), 0) * 2 // 3
    tail = max(keep - len(CUT), 0) - head
    if not tail:
        return text[:keep]
    return text[:head].rstrip() + CUT + text[len(text) - tail :].lstrip()


REASON_LIMIT = 600
_SHOWN = 5


@dataclass(frozen=True)
class Alert:
    """What happened to which assets; texts are redacted when they enter the outbox.

    `reason` begins with the root cause. `unharmed` and `next_step` default to those of the kind.

    `source` names what was found (`event:17`), so that finding it twice makes one alert. Alerts with the same
    `dedup_key` are one while it is open. `position` is the id of the event in Dagster's log: only what comes
    later can resolve it. `partition` is a day, a range `A...B`, several of both (`A...B, C`) or empty.
    `causes` are names of errors and checks, by which a repeated failure is recognized.
    """

    kind: str
    source: str
    dedup_key: str
    title: str
    reason: str = ""
    unharmed: str = ""
    next_step: str = ""
    severity: Severity = "error"
    assets: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    partition: str = ""
    owners: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    ref: str = "main"
    job: str = ""
    run_id: str = ""
    run_url: str = ""
    position: int = 0
    id: int = 0
    times: int = 1
    created_at: dt.datetime | None = None
    last_at: dt.datetime | None = None
    resolved_at: dt.datetime | None = None
    resolution: str = ""
    closed_by: str = ""
    causes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kind = KINDS[self.kind]
        if not self.unharmed:
            object.__setattr__(self, "unharmed", kind.unharmed)
        if not self.next_step:
            step = kind.next_step.format(
                assets=",".join(self.assets) or "*", days=days_option(self.partition, self.ref)
            )
            object.__setattr__(self, "next_step", step)

    @property
    def lasts(self) -> bool:
        """Whether it stays open until it is resolved; alerts about a branch never do."""
        return KINDS[self.kind].lasts and self.ref == "main"

    @property
    def is_open(self) -> bool:
        """Whether it is not resolved yet."""
        return self.resolved_at is None

    @property
    def excerpt(self) -> str:
        """The reason without secrets, its middle cut where it is long."""
        return cut(redacted(self.reason).strip(), REASON_LIMIT)

    @property
    def facts(self) -> dict[str, str]:
        """What channels show besides title and reason, by name; empty values are left out."""
        facts = {
            "Asset": shorten_list(self.assets),
            "Partition": shorten_days(self.partition),
            "Check": shorten_list(self.checks),
            "Owner": ", ".join(self.owners),
            "Ref": self.ref if self.run_id else "",
            "Severity": self.severity,
        }
        return {name: value for name, value in facts.items() if value}


COLUMNS = tuple(field.name for field in fields(Alert))
"""The columns of table `alerts` that an Alert has."""


def alert_from_row(row: dict[str, Any]) -> Alert:
    """Return the alert of a row of table `alerts`."""
    facts = {name: row[name] for name in COLUMNS}
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in facts.items()}
    return Alert(**values)


def shorten_list(names: tuple[str, ...]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
