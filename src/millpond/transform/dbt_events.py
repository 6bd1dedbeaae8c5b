"""dbt's events during a call: results, which dagster-dbt turns into metadata, and warnings."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millpond.transform.sensitive import Touched
    from millpond.transform.translator import MillpondDbtTranslator

_RESULTS = frozenset({"LogModelResult", "LogSeedResult", "LogSnapshotResult", "LogTestResult"})
_SUMMARIES = ("RunResult", "EndOfRun", "FinishedRunning")
_HEADING = re.compile(r"^\s*(Runtime|Compilation|Database|Parsing) Error( in \w+ .*)?\n\s*", re.MULTILINE)
_COMPILATION = re.compile(r"\s*(Compilation|Parsing) Error\b")


@dataclass
class DbtEvents:
    """Listens to one call of dbt."""

    results: list[Any] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """dbt's warnings other than results of tests, with file and node, in dbt's words."""
    invalid: list[str] = field(default_factory=list)
    """Errors of semantic models and metrics, which dbt's exception does not name."""
    _exceptions: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Any) -> None:
        """Take an event of dbt."""
        name = event.info.name
        with self._lock:
            if name in _RESULTS:
                self.results.append(event)
            elif name == "GenericExceptionOnRun":
                self._exceptions[event.data.unique_id] = event.data.exc
            elif name == "CatchableExceptionOnRun":
                self._exceptions.setdefault(event.data.node_info.unique_id, event.data.exc)
            elif name == "SemanticValidationFailure":
                self.invalid.append(" ".join(event.info.msg.split()))
            elif event.info.level == "warn" and not name.startswith(_SUMMARIES):
                self.warnings.append(" ".join(event.info.msg.split()))

    def get_reason(self, unique_id: str, otherwise: str, touched: Touched) -> str:
        """Return why a node failed, without headings, and without what may quote a value that is sensitive.

        The result of a microbatch model is only ERROR.
        """
        text = self._exceptions.get(unique_id, otherwise).removeprefix("Exception on worker thread. ")
        reason = _HEADING.sub("", text).strip()
        if _COMPILATION.match(text):
            return reason
        return touched.hide_error(reason, unique_id.split(".")[2] if unique_id.count(".") > 1 else unique_id)

    def collect_metadata(
        self, document: Mapping[str, Any], translator: MillpondDbtTranslator, known: Collection[str]
    ) -> dict[str, dict[str, Any]]:
        """Return dagster-dbt's metadata of each node's result, by unique_id.

        `known` are the nodes that Dagster knows.
        """
        from google.protobuf.json_format import MessageToDict

        from millpond.internals.dagster_on_demand import DbtCoreCliEventMessage

        found: dict[str, dict[str, Any]] = {}
        for event in self.results:
            if event.data.node_info.unique_id not in known:
                continue
            raw = MessageToDict(event, preserving_proto_field_name=True)
            message = DbtCoreCliEventMessage(raw_event=raw, event_history_metadata={})
            for made in message.to_default_asset_events(document, translator):
                found[event.data.node_info.unique_id] = _unwrap_values(getattr(made, "metadata", None) or {})
        return found


def _unwrap_values(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "value", value) for name, value in metadata.items()}


def find_failures(
    results: Iterable[Any], events: DbtEvents, touches: Callable[[str], Touched]
) -> dict[str, str]:
    """Return why nodes other than data tests failed, by unique_id; `touches` says what is sensitive there."""
    return {
        r.node.unique_id: events.get_reason(r.node.unique_id, r.message or "", touches(r.node.unique_id))
        for r in results
        if r.node.resource_type != "test" and str(r.status) in ("error", "fail", "partial success")
    }
