"""The text of a report: headings, sentences, tables and figures, as Markdown and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from forecast.manifest import Manifest
from forecast.spec import Config

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "body{color:#24292f;background:#fff}"
    "table{border-collapse:collapse}td,th{border:1px solid #d0d7de;padding:.25rem .6rem;text-align:left}"
    "svg{max-width:100%;height:auto}figure{margin:1rem 0}pre{background:#f6f8fa;padding:.6rem}"
)


@dataclass(frozen=True)
class Section:
    """A heading with a sentence, and below it a table or a figure, both optional."""

    title: str
    text: str = ""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figure: str = ""
    verbatim: str = ""


def describe_model(config: Config, manifest: Manifest, data: str) -> list[Section]:
    """Return the sections of the report of a packaged model; `data` is the summary of the validation."""
    metrics, lineage = manifest.metrics, manifest.lineage
    snapshot = f", snapshot {lineage.snapshot_id} of ref {lineage.ref}" if lineage.snapshot_id else ""
    span = f", {lineage.first} to {lineage.last}" if lineage.first else ""
    chosen = manifest.chosen
    tried = [(each["kind"], f"{each['mae']:.4g}") for each in chosen["validation"]]
    sections = [
        Section(
            f"{config.name}: model {manifest.short}",
            f"{config.description}. The model waits for approval: whoever approves it signs this report off.",
        ),
        Section(
            "How good it is",
            _compare(manifest) + " Intervals are of 95 %, by bootstrap over days.",
            ("forecast", "mean absolute error", "root mean squared error", "zones A and B"),
            _list_errors(manifest),
            "margins.svg",
        ),
    ]
    if config.source.time:
        sections.append(
            Section("A held-out day", "The one whose error is the median of all of them.", figure="day.svg")
        )
    sections.append(
        Section(
            "Clarke error grid" if config.clarke_zones else "Predicted and actual values",
            "A: accurate, B: benign, C: needless treatment, D: a low or a high is missed, E: opposite one."
            if config.clarke_zones
            else "Each point is a held-out row.",
            ("zone", "share"),
            [(zone, f"{metrics[f'clarke_{zone.lower()}']:.2%}") for zone in "ABCDE" if config.clarke_zones],
            "pairs.svg",
        )
    )
    if config.risk:
        names = [name for name in sorted(metrics) if name.startswith("risk.")]
        sections.append(
            Section(
                f"Risk of going below {config.risk.below:g}",
                "A Brier score below that of the rate tells more than how often it happens.",
                ("metric", "value"),
                [(name.removeprefix("risk."), f"{metrics[name]:.4g}") for name in names],
            )
        )
    if drift := [name for name in sorted(metrics) if name.startswith("drift.")]:
        rows = [(name.removeprefix("drift."), f"{metrics[name]:.4g}") for name in drift]
        sections.append(
            Section(
                "Drift since the last good model",
                "Population stability index and Kolmogorov-Smirnov statistic.",
                ("measure", "value"),
                rows,
            )
        )
    return [
        *sections,
        Section("Thresholds", "All are met.", ("metric", "bounds", "value"), _list_thresholds(manifest)),
        Section(
            "How it was chosen",
            f"Trained: {chosen['kind']}, seed {chosen['seed']}, {chosen['parameters'] or 'defaults'}. "
            "A later candidate must be surely better on the validation rows than those before it.",
            ("candidate", "mean absolute error on the validation rows"),
            tried,
        ),
        Section("The data", f"{lineage.rows:,} rows of {lineage.place}{snapshot}{span}.", verbatim=data),
        Section("The stages", "What is made from what, as Dagster has it.", figure="stages.svg"),
        Section(
            "What it is made of",
            "The same data, parameters, code and packages give this hash on every machine.",
            ("part", "hash or version"),
            [
                ("model", manifest.hash),
                ("data", manifest.identity.data_hash),
                ("code", manifest.identity.code_hash),
                *manifest.identity.packages.items(),
            ],
        ),
    ]


def render_markdown(sections: Sequence[Section]) -> str:
    """Return the report as Markdown, whose figures are files beside it."""
    lines: list[str] = []
    for number, each in enumerate(sections):
        lines += [f"{'##' if number else '#'} {each.title}", ""]
        lines += [each.text, ""] if each.text else []
        if each.rows:
            lines += [_row(each.header), _row(["---"] * len(each.header)), *map(_row, each.rows), ""]
        if each.verbatim:
            lines += [each.verbatim.replace("\n# ", "\n### ").removeprefix("# ").strip(), ""]
        if each.figure:
            lines += [f"![{each.title}]({each.figure})", ""]
    return "\n".join(lines)


def render_html(sections: Sequence[Section], figures: Mapping[str, str]) -> str:
    """Return the report as one HTML file that loads nothing else."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(sections[0].title)}</title><style>{_STYLE}</style></head><body>",
    ]
    for number, each in enumerate(sections):
        level = 2 if number else 1
        parts.append(f"<h{level}>{escape(each.title)}</h{level}>")
        parts.append(f"<p>{escape(each.text)}</p>" if each.text else "")
        if each.rows:
            head = "".join(f"<th>{escape(name)}</th>" for name in each.header)
            body = "".join(
                "<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row) + "</tr>" for row in each.rows
            )
            parts.append(f"<table><tr>{head}</tr>{body}</table>")
        parts.append(f"<pre>{escape(each.verbatim)}</pre>" if each.verbatim else "")
        if each.figure:
            parts.append(
                f'<figure role="img" aria-label="{escape(each.title)}">{figures[each.figure]}</figure>'
            )
    return "\n".join(filter(None, [*parts, "</body></html>", ""]))


def _compare(manifest: Manifest) -> str:
    said = []
    for name, (low, high) in sorted(manifest.intervals.items()):
        margin = manifest.metrics[name]
        said.append(
            f"{margin:.3g} [{low:.3g}, {high:.3g}] smaller than that of {name.removeprefix('margin.')}"
        )
    return (
        f"On the held-out rows its mean absolute error is {manifest.metrics['mae']:.4g}: {'; '.join(said)}."
    )


def _list_errors(manifest: Manifest) -> list[list[str]]:
    metrics = manifest.metrics
    baselines = sorted(
        name.split(".")[1] for name in metrics if name.startswith("baseline.") and name.endswith(".mae")
    )
    prefixes = {"this model": "", **{name: f"baseline.{name}." for name in baselines}}
    return [
        [name, *(_format(metrics.get(f"{prefix}{each}")) for each in ("mae", "rmse", "clarke_ab"))]
        for name, prefix in prefixes.items()
    ]


def _list_thresholds(manifest: Manifest) -> list[list[str]]:
    rows = []
    for name, bounds in sorted(manifest.thresholds.items()):
        said = [f"at least {bounds['min']:g}" if bounds["min"] is not None else ""]
        said.append(f"at most {bounds['max']:g}" if bounds["max"] is not None else "")
        rows.append([name, ", ".join(filter(None, said)), _format(manifest.metrics.get(name))])
    return rows


def _format(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _row(values: Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
