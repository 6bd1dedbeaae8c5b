"""dbt's events during a call: results, which dagster-dbt turns into metadata, and warnings."""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millpond.transform.sensitive import Touched
    from millpond.transform.translator import MillpondDbtTranslator

RESULTS = frozenset({"LogModelResult", "LogSeedResult", "LogSnapshotResult", "LogTestResult"})
_OF_NODE = ("unique_id", "materialized", "node_status", "node_started_at", "node_finished_at")
_SUMMARIES = ("RunResult", "EndOfRun", "FinishedRunning")
_HEADING = re.compile(r"^\s*(Runtime|Compilation|Database|Parsing) Error( in \w+ .*)?\n\s*", re.MULTILINE)
_COMPILATION = re.compile(r"\s*(Compilation|Parsing) Error\b")


@dataclass
class DbtEvents:
    """Listens to one call of dbt."""

    results: list[dict[str, Any]] = field(default_factory=list)
    """As dbt logs them in JSON; of those taken by `take_result`, what dagster-dbt reads of that."""
    warnings: list[str] = field(default_factory=list)
    """dbt's warnings other than results of tests, with file and node, in dbt's words."""
    invalid: list[str] = field(default_factory=list)
    """Errors of semantic models and metrics, which dbt's exception does not name."""
    _exceptions: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Any) -> None:
        """Take an event of dbt."""
        from google.protobuf.json_format import MessageToDict

        name = event.info.name
        with self._lock:
            if name in RESULTS:
                self.results.append(MessageToDict(event, preserving_proto_field_name=True))
            elif name == "GenericExceptionOnRun":
                self._exceptions[event.data.unique_id] = event.data.exc
            elif name == "CatchableExceptionOnRun":
                self._exceptions.setdefault(event.data.node_info.unique_id, event.data.exc)
            elif name == "SemanticValidationFailure":
                self.invalid.append(" ".join(event.info.msg.split()))
            elif event.info.level == "warn" and not name.startswith(_SUMMARIES):
                self.warnings.append(" ".join(event.info.msg.split()))

    def take_result(self, name: str, invocation: str, fields: Mapping[str, Any]) -> None:
        """Take an event with a result before dbt makes a message of it."""
        node = {key: fields["node_info"].get(key) for key in _OF_NODE}
        data = {"node_info": _drop_empty(node), "status": fields["status"] and str(fields["status"])}
        data["num_failures"] = fields.get("num_failures")
        data["execution_time"] = _round_to_float32(fields["execution_time"])
        with self._lock:
            self.results.append(
                {"info": {"name": name, "invocation_id": invocation}, "data": _drop_empty(data)}
            )

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
        from millpond.internals.dagster_on_demand import read_result_metadata

        found: dict[str, dict[str, Any]] = {}
        for result in self.results:
            key = result["data"]["node_info"]["unique_id"]
            if key in known and (metadata := read_result_metadata(result, document, translator)):
                found[key] = {name: getattr(value, "value", value) for name, value in metadata.items()}
        return found


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a message of dbt has in JSON."""
    return {name: value for name, value in fields.items() if value}


def _round_to_float32(value: float) -> float:
    """Return a number as a message of dbt, which has 32 bits for it, shows it in JSON."""
    (exact,) = struct.unpack("f", struct.pack("f", value))
    texts = (float(f"{exact:.{digits}g}") for digits in range(6, 10))
    return next((text for text in texts if struct.pack("f", text) == struct.pack("f", exact)), exact)


def find_failures(
    results: Iterable[Any], events: DbtEvents, touches: Callable[[str], Touched]
) -> dict[str, str]:
    """Return why nodes other than data tests failed, by unique_id; `touches` says what is sensitive there."""
    return {
        r.node.unique_id: events.get_reason(r.node.unique_id, r.message or "", touches(r.node.unique_id))
        for r in results
        if r.node.resource_type != "test" and str(r.status) in ("error", "fail", "partial success")
    }
