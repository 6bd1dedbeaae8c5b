"""Dagster's code server, whose "Reload" deploys the project first, and which ends with its inner server."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from typing import Any

import psutil

from millpond.errors import MillpondError
from millpond.instance.log_colours import omit_colours
from millpond.internals.dagster_on_demand import (
    DagsterProxyApiServicer,
    code_server_cli,
    dagster_api_pb2,
    grpc_server,
)
from millpond.runtime import deployment
from millpond.settings import settings, use_deployed

_log = logging.getLogger("dagster.code_server")
_reload = DagsterProxyApiServicer.ReloadCode
_LOOK_SECONDS = 1.0
_GONE_SECONDS = 3.0
_START_SECONDS = 60.0


def _deploy_and_reload(server: DagsterProxyApiServicer, request: Any, context: Any) -> Any:
    """Deploy and load the project; if it does not load, log the error and keep what is loaded."""
    try:
        deployed = deployment.deploy(settings(), checked=True)
    except MillpondError as error:
        _log.error("not reloaded: %s", error)
        return dagster_api_pb2.ReloadCodeReply()
    use_deployed(deployment.folder_of(settings(), deployed))
    return _reload(server, request, context)  # type: ignore[no-untyped-call]


def _has_inner_server() -> bool:
    """Return whether the process that has loaded the definitions, or is about to, is alive."""
    with suppress(psutil.Error):
        for child in psutil.Process().children():
            if child.status() != psutil.STATUS_ZOMBIE and "grpc" in child.cmdline():
                return True
    return False


def _end_without_inner_server() -> None:
    """End this process once its inner server was killed, so that it is restarted.

    Dagster starts no other one, and answers with an error until somebody reloads the definitions.
    """
    last, patience = time.monotonic(), _START_SECONDS
    while time.monotonic() - last < patience:
        if _has_inner_server():
            last, patience = time.monotonic(), _GONE_SECONDS
        time.sleep(_LOOK_SECONDS)
    _log.error("the process with the definitions is gone")
    os._exit(1)


def _get_entry_point(executable_path: str) -> list[str]:
    """Return how the process with the definitions is started, in place of `python -m dagster`."""
    return [executable_path, "-m", "millpond.runs.warm_server", str(os.getpid())]


def main() -> None:
    """Run Dagster's code server with the arguments of this process."""
    omit_colours()
    threading.Thread(target=_end_without_inner_server, name="inner-server", daemon=True).start()
    DagsterProxyApiServicer.ReloadCode = _deploy_and_reload  # type: ignore[method-assign]
    grpc_server.get_python_environment_entry_point = _get_entry_point  # type: ignore[attr-defined]
    code_server_cli()


if __name__ == "__main__":
    main()
