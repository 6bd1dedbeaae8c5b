"""The Iceberg REST catalog; `python -m millpond.lake.rest_app` serves it on a socket that already listens.

A warehouse is a ref, or a pin, which is read-only.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from millpond.errors import PortTaken
from millpond.lake.rest_errors import BadRequest, Unrouted, build_response
from millpond.lake.rest_namespaces import config
from millpond.lake.rest_requests import Body
from millpond.lake.rest_routes import ROUTES, Respond
from millpond.lake.rest_tokens import Guard

_SHUTDOWN_SECONDS = 5


def build_app(
    write_token: SecretStr | None = None, read_token: SecretStr | None = None, *, writes: bool = True
) -> ASGIApp:
    """Return the catalog as an ASGI application that requires a bearer token: one of these, or an issued one.

    A request that would change something returns 403 with a token that only reads, or unless `writes`,
    whether its route exists or not.
    """
    routes = [Route("/v1/config", _make_endpoint(config), methods=["GET"])]
    routes += [
        Route(path, _make_endpoint(respond), methods=methods.split())
        for path, (methods, respond) in ROUTES.items()
    ]
    handlers = dict.fromkeys((404, 405), _answer_unrouted)
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, write_token, read_token, writes=writes)


async def _answer_unrouted(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
    return build_response(request, Unrouted(f"{request.method} {request.url.path} is not an endpoint here"))


def _make_endpoint(view: Respond) -> Callable[[Request], Awaitable[Response]]:
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


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 is a free one. Raises PortTaken."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        raise PortTaken(
            f"the catalog cannot listen on {host}:{port}: {error.strerror or error}",
            unharmed="everything; nothing was started",
            next_step="choose another port: `millpond catalog serve --port 8182`",
        ) from error


def serve_catalog(listener: socket.socket, *, writes: bool) -> None:
    """Serve until SIGTERM or Ctrl-C, to the tokens that were issued."""
    _run(build_app(writes=writes), listener)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve the Iceberg REST catalog to other programs.")
    parser.add_argument("--fd", type=int, required=True, help="number of a listening socket")
    parser.add_argument("--token-file", type=Path, required=True, help="holds the read-only bearer token")
    parser.add_argument(
        "--write-token-file", type=Path, required=True, help="holds the bearer token that may write"
    )
    arguments = parser.parse_args()
    app = build_app(_read_token(arguments.write_token_file), _read_token(arguments.token_file))
    _run(app, socket.socket(fileno=arguments.fd))


def _run(app: ASGIApp, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _read_token(file: Path) -> SecretStr:
    return SecretStr(file.read_text().strip())


if __name__ == "__main__":
    main()
