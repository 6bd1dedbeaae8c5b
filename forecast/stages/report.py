"""Describes data, model and metrics for the person who approves the model, in Markdown and HTML."""

from __future__ import annotations

from forecast.graph import draw_graph, read_graph
from forecast.manifest import PREFIX, read_manifest
from forecast.report_figures import draw_figures
from forecast.report_sections import describe_model, render_html, render_markdown
from forecast.stages.stage import Metadata, Work
from forecast.stages.validate import SUMMARY

MARKDOWN, HTML = "report.md", "report.html"


def run(work: Work) -> Metadata:
    """Write `report.md` and `report.html`, and the plots of `report.md` as SVG."""
    manifest = read_manifest(next(work.inputs["package"].glob(f"{PREFIX}*")))
    figures = draw_figures(work.inputs, work.config, manifest)
    figures["stages.svg"] = draw_graph(read_graph())
    for name, svg in figures.items():
        (work.output / name).write_text(svg, encoding="utf-8")
    data = (work.inputs["validate"] / SUMMARY).read_text(encoding="utf-8")
    sections = describe_model(work.config, manifest, data)
    (work.output / MARKDOWN).write_text(render_markdown(sections), encoding="utf-8")
    (work.output / HTML).write_text(render_html(sections, figures), encoding="utf-8")
    work.log(f"{HTML}, with {len(figures)} figures")
    return {"model": manifest.hash, "figures": sorted(figures)}
