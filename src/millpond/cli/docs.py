"""`millpond docs`: dbt's docs of the models and their tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer
    from socketserver import BaseServer


def docs(
    ref: Annotated[
        str | None, typer.Option("--ref", help="Branch whose tables are shown; default: MILLPOND_REF.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Loopback port; 0 picks a free one.")
    ] = 8080,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Serve dbt's docs: each model and source with its columns, tests, code, lineage, rows and size.

    They are generated each time, from the project as it is and the tables of the ref, which are only read.
    Served on this machine only, until Ctrl-C. Needs no network.

    Example: millpond docs --ref dev
    """
    import webbrowser

    from millpond.cli.arguments import require_ref
    from millpond.settings import settings
    from millpond.transform.docs import generate_docs

    name = require_ref(ref)
    served: dict[str, str] = {}
    with _open_server(port, served) as server:
        folder = generate_docs(settings(), name)
        served["directory"] = str(folder)
        address = f"http://127.0.0.1:{server.server_address[1]}"
        typer.echo(f"dbt's docs of {name}: {address}  (Ctrl-C stops it)")
        if not no_browser:
            webbrowser.open_new_tab(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped")


def _open_server(port: int, served: Mapping[str, str]) -> ThreadingHTTPServer:
    """Listen on `port`; requests are answered later, with files of the folder that `served` then names."""
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from millpond.runtime.ports import refuse_taken

    class Pages(SimpleHTTPRequestHandler):
        """The files of a folder; requests are not logged."""

        def __init__(self, request: Any, client: Any, server: BaseServer) -> None:
            super().__init__(request, client, server, directory=served["directory"])

        def list_directory(self, path: object) -> None:  # noqa: ARG002
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    if port:
        refuse_taken(port, "--port")
    return ThreadingHTTPServer(("127.0.0.1", port), Pages)
