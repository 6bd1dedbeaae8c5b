"""From dbt's run results to ours, its messages without their headings."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from millpond.transform.building import Stored
from millpond.transform.models import Models
from millpond.transform.results import ModelBuilt, ModelFailed

_HEADING = re.compile(r"^\s*(Runtime|Compilation|Database|Parsing) Error( in \w+ .*)?\n\s*", re.MULTILINE)


class Complaints:
    """What models died of, heard from dbt's events: the result of a microbatch model only says ERROR."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard: dict[str, str] = {}

    def __call__(self, event: Any) -> None:
        """Take an event of dbt."""
        if event.info.name == "GenericExceptionOnRun":
            with self._lock:
                self._heard[event.data.unique_id] = event.data.exc

    def about(self, unique_id: str, otherwise: str) -> str:
        """Return what was heard of a node, without headings."""
        text = self._heard.get(unique_id, otherwise).removeprefix("Exception on worker thread. ")
        return _HEADING.sub("", text).strip()


def models_built(
    results: Iterable[Any], stored: Mapping[str, Stored], every: Models
) -> tuple[ModelBuilt, ...]:
    """Return the models that were written, in the order in which they were."""
    seconds = {r.node.unique_id: r.execution_time for r in results}
    return tuple(
        ModelBuilt(key, every[key].key, s.written, seconds.get(key, s.seconds), s.day_rows)
        for key, s in stored.items()
    )


def models_failed(results: Iterable[Any], complaints: Complaints, every: Models) -> tuple[ModelFailed, ...]:
    """Return the models that could not be built, with the reason."""
    failed = (r for r in results if r.status not in ("success", "skipped"))
    return tuple(
        ModelFailed(every[r.node.unique_id].key, complaints.about(r.node.unique_id, r.message or ""))
        for r in failed
    )
