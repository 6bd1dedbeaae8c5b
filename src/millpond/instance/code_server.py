"""Dagster's code server, whose "Reload" deploys the project first."""

from __future__ import annotations

import logging
from typing import Any

from millpond.errors import MillpondError
from millpond.internals.dagster_on_demand import DagsterProxyApiServicer, code_server_cli, dagster_api_pb2
from millpond.runtime import deployment
from millpond.settings import settings, use_deployed

_log = logging.getLogger("dagster.code_server")
_reload = DagsterProxyApiServicer.ReloadCode


def _deploy_and_reload(server: DagsterProxyApiServicer, request: Any, context: Any) -> Any:
    """Load the project as it is now; if it does not load, say so in the log and go on with what is loaded."""
    try:
        deployed = deployment.deploy(settings(), checked=True)
    except MillpondError as error:
        _log.error("not reloaded: %s", error)
        return dagster_api_pb2.ReloadCodeReply()
    use_deployed(deployment.folder_of(settings(), deployed))
    return _reload(server, request, context)  # type: ignore[no-untyped-call]


def begin() -> None:
    """Be Dagster's code server; the arguments are its own."""
    DagsterProxyApiServicer.ReloadCode = _deploy_and_reload  # type: ignore[method-assign]
    code_server_cli()


if __name__ == "__main__":
    begin()
