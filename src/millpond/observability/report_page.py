"""The report as one HTML page that asks no server for anything."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from millpond.alerts.message import dagster_pages
from millpond.observability.report import Report
from millpond.redaction import redacted
from millpond.settings import Settings

_FOLDER: Final = Path(__file__).parent
_TEMPLATE: Final = "report.html.j2"


def render_report(report: Report, settings: Settings) -> str:
    """Return the page. Texts are escaped, and secrets in them are redacted."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_redact,
    )
    environment.filters |= {
        "moment": _Moment(report.zone),
        "cell": _format_cell,
        "prose": _format_prose,
        "short_check": _shorten_check,
    }
    page = environment.get_template(_TEMPLATE)
    return page.render(report=report, pages=dagster_pages(settings))


class _Moment:
    """Writes a time in the configured zone."""

    def __init__(self, zone: dt.tzinfo) -> None:
        self._zone = zone

    def __call__(self, at: dt.datetime | None) -> str:
        return f"{at.astimezone(self._zone):%Y-%m-%d %H:%M}" if at else ""


def _redact(value: Any) -> Any:
    """Redact plain strings; what is escaped already has passed here before."""
    return redacted(value) if type(value) is str else value


def _format_prose(text: str) -> Markup:
    """Return a text in which what stands between backticks is code."""
    parts = redacted(text).split("`")
    if len(parts) % 2 == 0:
        return escape(redacted(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts)
    )


def _shorten_check(check: str, asset: str) -> str:
    """Return the name of a check without that of its asset, with which dbt tests usually begin."""
    return check.removeprefix(f"{asset.rpartition('/')[2]}_")


def _format_cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, dict | list):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)
