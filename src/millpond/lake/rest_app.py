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
from millpond.lake.rest_errors import BadRequest, Forbidden, NotAuthorized, answer

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
_GOODBYE_SECONDS = 5
_READING = frozenset({"GET", "HEAD"})
_WRITE = "`millpond env --write` hands out a token that writes, without the checks that a run makes first"


def build_app(write_token: SecretStr, read_token: SecretStr | None = None) -> ASGIApp:
    """Return the catalog as an ASGI application that answers only requests with one of the bearer tokens.

    A request with `read_token` that would change something is answered 403, whether its route exists or not.
    """
    methods: dict[str, list[str]] = {}
    for method, path in (line.split() for line in views.ENDPOINTS):
        methods.setdefault(path, []).append(method)
    routes = [Route("/v1/config", _endpoint(views.config), methods=["GET"])]
    routes += [Route(path, _endpoint(_VIEWS[path]), methods=methods[path]) for path in methods]
    return _guarded(
        Starlette(routes=routes), _bearer(write_token), _bearer(read_token) if read_token else None
    )


def _guarded(app: ASGIApp, write: bytes, read: bytes | None) -> ASGIApp:
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
            Forbidden(f"this token only reads, so {request.method} is refused; nothing was changed. {_WRITE}")
            if reads
            else NotAuthorized("a bearer token is needed; `millpond env` prints how to connect")
        )
        await answer(request, error)(scope, receive, send)

    return guarded


def _bearer(token: SecretStr) -> bytes:
    return f"Bearer {token.get_secret_value()}".encode()


def _endpoint(view: Callable[[Request, Body], Response]) -> Callable[[Request], Awaitable[Response]]:
    def respond(request: Request, body: bytes) -> Response:
        try:
            return view(request, _parsed(body))
        except Exception as error:  # noqa: BLE001 - every failure becomes an answer of the protocol
            return answer(request, error)

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(respond, request, await request.body())

    return endpoint


def _parsed(body: bytes) -> Body:
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
    parser.add_argument("--token-file", type=Path, required=True, help="holds the bearer token that reads")
    parser.add_argument(
        "--write-token-file", type=Path, required=True, help="holds the bearer token that also writes"
    )
    arguments = parser.parse_args()
    config = uvicorn.Config(
        build_app(_token(arguments.write_token_file), _token(arguments.token_file)),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=arguments.fd)])


def _token(file: Path) -> SecretStr:
    return SecretStr(file.read_text().strip())


if __name__ == "__main__":
    main()
