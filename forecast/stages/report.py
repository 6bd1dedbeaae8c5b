"""Describes data, model and metrics in Markdown and HTML."""

from __future__ import annotations

from forecast.manifest import PREFIX, Manifest, read_manifest
from forecast.stages.stage import Metadata, Work

REPORT = "report.md"


def run(work: Work) -> Metadata:
    """Write `report.md`."""
    manifest = read_manifest(next(work.inputs["package"].glob(f"{PREFIX}*")))
    (work.output / REPORT).write_text(_format(work, manifest), encoding="utf-8")
    return {"model": manifest.hash}


def _format(work: Work, manifest: Manifest) -> str:
    lines = [f"# {work.config.name}: model {manifest.short}", "", "| metric | value |", "|---|---|"]
    return (
        "\n".join([*lines, *(f"| {name} | {value:.6g} |" for name, value in manifest.metrics.items())]) + "\n"
    )
