"""`millpond dashboard`: opens the dashboard of `millpond up`, or serves one until Ctrl-C."""

from __future__ import annotations

import subprocess
import webbrowser
from typing import Annotated

import typer


def dashboard(
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            help="Loopback port; 0 picks a free one. Default: MILLPOND_DASHBOARD_PORT.",
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Open no browser.")] = False,
) -> None:
    """Show the dashboard: runs, durations, freshness, quality, backfills and alerts, in a browser.

    If `millpond up` runs it already, its address is opened; else it is served on this machine until Ctrl-C.
    Its packages are installed into an environment of their own the first time, which needs a package index;
    afterwards it needs no network.

    Example: millpond dashboard
    """
    from millpond.runtime.dashboard_part import DASHBOARD
    from millpond.runtime.home import layout
    from millpond.runtime.processes import find_process
    from millpond.settings import settings

    running = find_process(layout(settings()), DASHBOARD)
    if running and port in (None, running.port):
        address = f"http://127.0.0.1:{running.port}"
        typer.echo(f"the dashboard of `millpond up`: {address}")
        if not no_browser:
            webbrowser.open_new_tab(address)
        return
    _serve(port, no_browser)


def _serve(port: int | None, no_browser: bool) -> None:
    import signal
    import threading

    from millpond.runtime.dashboard_part import (
        ENVIRONMENT,
        await_dashboard,
        build_command,
        choose_dashboard_port,
    )
    from millpond.runtime.databases import databases, refuse_other_version
    from millpond.settings import process_environment, settings

    configured = settings()
    refuse_other_version()
    databases()
    python = ENVIRONMENT.ensure(lambda line: typer.echo(line, err=True))
    chosen = choose_dashboard_port(configured, port)
    with subprocess.Popen([str(python), "-m", *build_command(chosen)], env=process_environment()) as server:

        def announce() -> None:
            if await_dashboard(chosen, lambda: server.poll() is None):
                typer.echo(f"the dashboard: http://127.0.0.1:{chosen}  (Ctrl-C stops it)")
                if not no_browser:
                    webbrowser.open_new_tab(f"http://127.0.0.1:{chosen}")

        threading.Thread(target=announce, daemon=True).start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()
            typer.echo("stopped")
            return
        finally:
            server.terminate()
    raise typer.Exit(code)
