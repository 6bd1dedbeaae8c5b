"""Dagster's web pages, with the runbook and our backfills: `python -m millpond.cli.pages`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt  # comes with rich
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from millpond.backfill.page_records import LedgerRecords
from millpond.instance.backfills import launch_in_few_runs, show_backfills
from millpond.internals.dagster_on_demand import DagsterWebserver, webserver_cli
from millpond.project.template import root
from millpond.settings import settings

_FILE = Path("docs", "runbook.md")
_STYLE = (
    "body{max-width:46em;margin:2em auto;padding:0 1em;font:16px/1.5 sans-serif}pre,code{background:#f3f3f3}"
)
_HEADING = re.compile(r"<h2>([a-z_]+)</h2>")
_MISSING = "# Runbook\n\nThis project has no `docs/runbook.md`; `millpond alerts show ID` says what to do.\n"


def serve_runbook() -> None:
    """Have every web server of this process serve the page `/runbook` next to Dagster's own."""
    own = DagsterWebserver.build_static_routes

    def with_runbook(server: Any) -> list[BaseRoute]:
        return [Route("/runbook", _respond), *own(server)]  # type: ignore[no-untyped-call]

    DagsterWebserver.build_static_routes = with_runbook  # type: ignore[method-assign]


def render_runbook() -> str:
    """Return the project's runbook as HTML; each kind of alert is an anchor of its own name."""
    files = (settings().project / _FILE, root() / _FILE)
    text = next((file.read_text() for file in files if file.is_file()), _MISSING)
    body = _HEADING.sub(r'<h2 id="\1">\1</h2>', MarkdownIt("commonmark").enable("table").render(text))
    return f"<!doctype html><meta charset=utf-8><title>Runbook</title><style>{_STYLE}</style>{body}"


def _respond(_: Request) -> HTMLResponse:
    return HTMLResponse(render_runbook())


def main() -> None:
    """Run Dagster's web server, with the runbook and our backfills; the arguments are Dagster's."""
    serve_runbook()
    launch_in_few_runs()
    show_backfills(LedgerRecords())
    webserver_cli()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
