"""What is told: facts of an event, as any channel can put them into words."""

from __future__ import annotations

from dataclasses import dataclass

from millpond.redaction import redacted

_EXCERPT = 600
_SHOWN = 5


@dataclass(frozen=True)
class RunFailed:
    """A run failed; `assets` are those it did not make, `checks` the blocking ones that stopped it.

    `partitions` is a day, a range `A...B` or empty; `error` is redacted by `excerpt`, not before.
    """

    run_id: str
    job: str
    assets: tuple[str, ...]
    checks: tuple[str, ...]
    partitions: str
    error: str
    run_url: str
    owners: tuple[str, ...] = ()
    ref: str = "main"

    @property
    def title(self) -> str:
        """The event in one line."""
        days = f" for {self.partitions}" if self.partitions else ""
        ref = "" if self.ref == "main" else f" on ref {self.ref}"
        return redacted(f"{_listed(self.assets) or f'run of {self.job}'} failed{days}{ref}")

    @property
    def excerpt(self) -> str:
        """The beginning of the error, without secrets."""
        text = redacted(self.error).strip()
        return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
