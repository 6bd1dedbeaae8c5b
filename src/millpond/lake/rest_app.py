"""The routes of the Iceberg REST catalog. A warehouse is a ref, or a pin, which is read-only."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from millpond.lake import rest_views as views
from millpond.lake.rest_errors import BadRequest, NotAuthorized, answer

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


def build_app(token: SecretStr) -> Starlette:
    """Return the catalog as an ASGI application that answers only requests with this bearer token."""
    methods: dict[str, list[str]] = {}
    for method, path in (line.split() for line in views.ENDPOINTS):
        methods.setdefault(path, []).append(method)
    routes = [Route("/v1/config", _endpoint(views.config, token), methods=["GET"])]
    routes += [Route(path, _endpoint(_VIEWS[path], token), methods=methods[path]) for path in methods]
    return Starlette(routes=routes)


def _endpoint(
    view: Callable[[Request, Body], Response], token: SecretStr
) -> Callable[[Request], Awaitable[Response]]:
    expected = f"Bearer {token.get_secret_value()}".encode()

    def respond(request: Request, body: bytes) -> Response:
        try:
            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
                raise NotAuthorized("a bearer token is needed; `millpond env` tells how to connect")
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
