"""The Iceberg REST catalog; `python -m millpond.lake.rest_app` serves it on a socket that already listens.

A warehouse is a ref, or a pin, which is read-only.
"""

from __future__ import annotations

import argparse
import hmac
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from millpond.lake import rest_views as views
from millpond.lake.rest_errors import BadRequest, Forbidden, NotAuthorized, build_response

_VIEWS: dict[str, Callable[[Request, views.Body], Response]] = {
    "/v1/{prefix}/namespaces": views.namespaces,
    "/v1/{prefix}/namespaces/{namespace}": views.namespace,
    "/v1/{prefix}/namespaces/{namespace}/properties": views.namespace_properties,
    "/v1/{prefix}/namespaces/{namespace}/tables": views.tables,
    "/v1/{prefix}/namespaces/{namespace}/register": views.register,
    "/v1/{prefix}/namespaces/{namespace}/tables/{table}": views.table,
    "/v1/{prefix}/tables/rename": views.rename,
    "/v1/{prefix}/transactions/commit": views.transaction,
}

Body = dict[str, Any]
_SHUTDOWN_SECONDS = 5
_READING = frozenset({"GET", "HEAD"})
_WRITE = "`millpond env --write` prints a token that may write, without the checks of a run"


def build_app(write_token: SecretStr, read_token: SecretStr | None = None) -> ASGIApp:
    """Return the catalog as an ASGI application that requires one of the bearer tokens.

    A request with `read_token` that would change something returns 403, whether its route exists or not.
    """
    methods: dict[str, list[str]] = {}
    for method, path in (line.split() for line in views.ENDPOINTS):
        methods.setdefault(path, []).append(method)
    routes = [Route("/v1/config", _make_endpoint(views.config), methods=["GET"])]
    routes += [Route(path, _make_endpoint(_VIEWS[path]), methods=methods[path]) for path in methods]
    return _require_token(
        Starlette(routes=routes),
        _format_bearer(write_token),
        _format_bearer(read_token) if read_token else None,
    )


def _require_token(app: ASGIApp, write: bytes, read: bytes | None) -> ASGIApp:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        given = request.headers.get("authorization", "").encode()
        writes, reads = (
            hmac.compare_digest(given, write),
            bool(read) and hmac.compare_digest(given, read or b""),
        )
        if writes or (reads and request.method in _READING):
            await app(scope, receive, send)
            return
        error = (
            Forbidden(
                f"this token is read-only, so {request.method} is refused; nothing was changed. {_WRITE}"
            )
            if reads
            else NotAuthorized("a bearer token is required; `millpond env` prints how to connect")
        )
        await build_response(request, error)(scope, receive, send)

    return guarded


def _format_bearer(token: SecretStr) -> bytes:
    return f"Bearer {token.get_secret_value()}".encode()


def _make_endpoint(view: Callable[[Request, Body], Response]) -> Callable[[Request], Awaitable[Response]]:
    def respond(request: Request, body: bytes) -> Response:
        try:
            return view(request, _parse_body(body))
        except Exception as error:  # noqa: BLE001 - every failure becomes an answer of the protocol
            return build_response(request, error)

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(respond, request, await request.body())

    return endpoint


def _parse_body(body: bytes) -> Body:
    if not body:
        return {}
    parsed = orjson.loads(body)
    if not isinstance(parsed, dict):
        raise BadRequest("the request's body is not a JSON object")
    return parsed


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve the Iceberg REST catalog to other programs.")
    parser.add_argument("--fd", type=int, required=True, help="number of a listening socket")
    parser.add_argument("--token-file", type=Path, required=True, help="holds the read-only bearer token")
    parser.add_argument(
        "--write-token-file", type=Path, required=True, help="holds the bearer token that may write"
    )
    arguments = parser.parse_args()
    config = uvicorn.Config(
        build_app(_read_token(arguments.write_token_file), _read_token(arguments.token_file)),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=arguments.fd)])


def _read_token(file: Path) -> SecretStr:
    return SecretStr(file.read_text().strip())


if __name__ == "__main__":
    main()
