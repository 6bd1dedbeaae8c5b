"""An alert: facts that any channel can put into words, cut to the length that a channel takes."""

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


def units(text: str) -> int:
    """Return the length of `text` as most services count it: in UTF-16 units, an emoji as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int, size: Size = units) -> str:
    """Return `text`, its middle left out where its `size` is above `limit`."""
    keep, shown = min(len(text), limit), text
    while keep > 0 and size(shown) > limit:
        shown = _ends(text, keep)
        keep = min(keep - 1, keep * limit // max(size(shown), 1))
    return shown if size(shown) <= limit else ""


def compose(cause: str, unharmed: str, next_step: str, limit: int, size: Size = units) -> str:
    """Return cause, what is unharmed and the next step as one text of at most `limit`.

    The last two get up to a quarter of it each; the cause gets the rest.
    """
    parts = (("Unharmed", unharmed), ("Next", next_step))
    kept = "".join(f"\n{name}: {cut(one_line(text), limit // 4 - 12, size)}" for name, text in parts if text)
    return (cut(cause.strip(), limit - size(kept), size) + kept).strip()


def one_line(text: str) -> str:
    """Return `text` without line breaks."""
    return " ".join(text.split())


def headline(title: str, cause: str, limit: int, size: Size = units) -> str:
    """Return title and the first line of the cause as one line of at most `limit`."""
    first = next((line for line in cause.splitlines() if line.strip()), "")
    title = cut(one_line(title), limit if not first else max(limit * 2 // 3, limit - size(first) - 2), size)
    room = limit - size(title) - 2
    return f"{title}: {cut(one_line(first), room, size)}" if first and room > len(CUT) else title


def _ends(text: str, keep: int) -> str:
    head = max(keep - len(CUT), 0) * 2 // 3
    tail = max(keep - len(CUT), 0) - head
    if not tail:
        return text[:keep]
    return text[:head].rstrip() + CUT + text[len(text) - tail :].lstrip()


REASON_LIMIT = 600
_SHOWN = 5


@dataclass(frozen=True)
class Alert:
    """What happened to what; texts are redacted when they enter the outbox.

    `reason` begins with the root cause. `unharmed` and `next_step` are those of the kind where not given.

    `source` names the one thing that was seen (`event:17`), so that seeing it twice makes one alert.
    Alerts with one `dedup_key` are one while it is open. `position` is the id of the event in Dagster's log:
    only what comes later can resolve it. `partition` is a day, a range `A...B`, several of both
    (`A...B, C`) or empty. `causes` are names of what made a run fail, by which it is facts again.
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
        """Whether it stays open until it is resolved; on a branch, nothing does."""
        return KINDS[self.kind].lasts and self.ref == "main"

    @property
    def is_open(self) -> bool:
        """Whether it still waits for its end."""
        return self.resolved_at is None

    @property
    def excerpt(self) -> str:
        """The reason without secrets, its middle cut where it is long."""
        return cut(redacted(self.reason).strip(), REASON_LIMIT)

    @property
    def facts(self) -> dict[str, str]:
        """What is facts besides title and reason, by name; only what there is."""
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
"""The columns of table `alerts` that make an Alert."""


def alert_from_row(row: dict[str, Any]) -> Alert:
    """Return the alert of a row of table `alerts`."""
    facts = {name: row[name] for name in COLUMNS}
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in facts.items()}
    return Alert(**values)


def shorten_list(names: tuple[str, ...]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
