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
    """Deploy and load the project; if it does not load, log the error and keep what is loaded."""
    try:
        deployed = deployment.deploy(settings(), checked=True)
    except MillpondError as error:
        _log.error("not reloaded: %s", error)
        return dagster_api_pb2.ReloadCodeReply()
    use_deployed(deployment.folder_of(settings(), deployed))
    return _reload(server, request, context)  # type: ignore[no-untyped-call]


def main() -> None:
    """Run Dagster's code server with the arguments of this process."""
    DagsterProxyApiServicer.ReloadCode = _deploy_and_reload  # type: ignore[method-assign]
    code_server_cli()


if __name__ == "__main__":
    main()
