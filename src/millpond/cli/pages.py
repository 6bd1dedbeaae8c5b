"""Dagster's web pages, with our own and our backfills: `python -m millpond.cli.pages`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from millpond.backfill.page_records import LedgerRecords
from millpond.cli.doc_pages import build_page, find_doc, render_doc, render_list, render_markdown
from millpond.errors import ConfigError
from millpond.instance.backfills import launch_in_few_runs, show_backfills
from millpond.instance.log_colours import omit_colours
from millpond.internals.dagster_on_demand import DagsterWebserver, webserver_cli
from millpond.observability.metrics import CONTENT_TYPE, render_metrics
from millpond.runtime.addresses import LOOPBACK, refuse_open_address
from millpond.runtime.dashboard_part import dashboard_url
from millpond.runtime.down import SUPERVISOR
from millpond.runtime.home import Home, locate
from millpond.runtime.processes import find_process
from millpond.runtime.supervised_parts import accepts, code_server_socket
from millpond.settings import process_environment, settings

_HOLD_SECONDS, _AGAIN_SECONDS = 30.0, 0.5
_MISSING = "# Runbook\n\nThis project has no `docs/runbook.md`; `millpond alerts show ID` says what to do.\n"


def serve_pages() -> None:
    """Have every web server of this process serve `/runbook`, `/docs/`, `/metrics` and `/dashboard` too."""
    own = DagsterWebserver.build_static_routes

    def with_pages(server: Any) -> list[BaseRoute]:
        return [
            Route("/runbook", _respond_runbook),
            Route("/docs", lambda _: RedirectResponse("docs/")),
            Route("/docs/{path:path}", _respond_doc),
            Route("/metrics", _respond_metrics),
            Route("/dashboard", lead_to_dashboard),
            *own(server),  # type: ignore[no-untyped-call]
        ]

    DagsterWebserver.build_static_routes = with_pages  # type: ignore[method-assign]


def hold_launches(home: Home) -> None:
    """Have a launch wait while the code server starts again; Dagster answers that it cannot be reached."""
    own, path = DagsterWebserver.graphql_http_endpoint, code_server_socket(home)

    async def answer(server: Any, request: Request) -> Response:
        response: Response = await own(server, request)
        until = 0.0  # clients find it again some seconds after it answers
        while b"Success" not in bytes(response.body) and await _is_launch(request):
            if not accepts(path) and find_process(home, SUPERVISOR):
                until = until or time.monotonic() + _HOLD_SECONDS
            if time.monotonic() > until:
                break
            await asyncio.sleep(_AGAIN_SECONDS)
            response = await own(server, request)
        return response

    DagsterWebserver.graphql_http_endpoint = answer  # type: ignore[method-assign,assignment]


async def _is_launch(request: Request) -> bool:
    return request.method == "POST" and b"launch" in await request.body()


def render_runbook() -> str:
    """Return the project's runbook as HTML; each kind of alert is an anchor of its own name."""
    file = find_doc("runbook.md")
    return build_page("Runbook", render_markdown(file.read_text() if file else _MISSING))


def _respond_runbook(_: Request) -> HTMLResponse:
    return HTMLResponse(render_runbook())


def _respond_doc(request: Request) -> Response:
    path = str(request.path_params["path"])
    if not path:
        return HTMLResponse(render_list())
    file = find_doc(path)
    if file is None:
        return HTMLResponse(build_page("Not found", "<p>There is no such page."), status_code=404)
    return HTMLResponse(render_doc(file)) if file.suffix == ".md" else FileResponse(file)


def lead_to_dashboard(request: Request) -> Response:
    """Lead to the dashboard on the machine whose address was asked, with the same filters."""
    port = urlsplit(dashboard_url(settings())).port
    return RedirectResponse(str(request.url.replace(scheme="http", port=port, path="/")))


def _respond_metrics(_: Request) -> Response:
    return Response(render_metrics(), headers={"Content-Type": CONTENT_TYPE})


def main() -> None:
    """Run Dagster's web server, with our pages and backfills; the arguments are Dagster's.

    Ends with an error if it would listen beyond this machine without `pages_behind`.
    """
    given = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    given.add_argument("--host", "-h", default=process_environment().get("DAGSTER_WEBSERVER_HOST", LOOPBACK))
    try:
        refuse_open_address(given.parse_known_args()[0].host, "Dagster's web server", settings())
    except ConfigError as error:
        sys.exit(str(error))
    omit_colours()
    serve_pages()
    hold_launches(locate(settings()))
    launch_in_few_runs()
    show_backfills(LedgerRecords())
    webserver_cli()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
