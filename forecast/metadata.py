"""A checkpoint as Dagster's metadata: log, times, shapes, parameters and artifacts of a stage."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from forecast.checkpoints import Checkpoint


def describe_checkpoint(found: Checkpoint) -> dict[str, Any]:
    """Return the metadata of the materialization of a stage.

    A checkpoint that was used again keeps the log and the times of the run that made it.
    """
    began, ended = (dt.datetime.fromisoformat(each) for each in (found.began, found.ended))
    return {
        **{name: _convert(value) for name, value in found.metadata.items() if value is not None},
        "compute_log": dg.MetadataValue.md(f"```\n{found.log}```"),
        "began": dg.MetadataValue.timestamp(began),
        "ended": dg.MetadataValue.timestamp(ended),
        "seconds": (ended - began).total_seconds(),
        "shapes": dg.MetadataValue.json(dict(found.shapes)),
        "parameters": dg.MetadataValue.json(dict(found.parameters)),
        "artifacts": dg.MetadataValue.json(dict(found.files)),
        "checkpoint": dg.MetadataValue.path(str(found.folder)),
        "reused": found.reused,
    }


def _convert(value: Any) -> Any:
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    return value
