"""An alert: facts that any channel can put into words."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any

from millpond.alerts.days import days_option, shown_days
from millpond.alerts.fitting import cut
from millpond.alerts.kinds import KINDS, Severity
from millpond.redaction import redacted

REASON_LIMIT = 600
_SHOWN = 5


@dataclass(frozen=True)
class Alert:
    """What happened to what; texts are redacted when they enter the outbox.

    `reason` begins with the root cause. `unharmed` and `next_step` are those of the kind where not given.

    `source` names the one thing that was seen (`event:17`), so that seeing it twice makes one alert.
    Alerts with one `dedup_key` are one while it is open. `position` is the id of the event in Dagster's log:
    only what comes later can resolve it. `partition` is a day, a range `A...B`, several of both
    (`A...B, C`) or empty. `causes` are names of what made a run fail, by which it is known again.
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
        """What is known besides title and reason, by name; only what there is."""
        known = {
            "Asset": listed(self.assets),
            "Partition": shown_days(self.partition),
            "Check": listed(self.checks),
            "Owner": ", ".join(self.owners),
            "Ref": self.ref if self.run_id else "",
            "Severity": self.severity,
        }
        return {name: value for name, value in known.items() if value}


COLUMNS = tuple(field.name for field in fields(Alert))
"""The columns of table `alerts` that make an Alert."""


def of_row(row: dict[str, Any]) -> Alert:
    """Return the alert of a row of table `alerts`."""
    known = {name: row[name] for name in COLUMNS}
    values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in known.items()}
    return Alert(**values)


def listed(names: tuple[str, ...]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
