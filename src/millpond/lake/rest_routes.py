"""The routes of the REST catalog, as clients are told them, and what each does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from millpond.lake import rest_namespaces, rest_tables, rest_views
from millpond.lake.rest_requests import Body

Respond = Callable[[Request, Body], Response]

_NAMESPACE = "/v1/{prefix}/namespaces/{namespace}"
ROUTES: Mapping[str, tuple[str, Respond]] = {
    "/v1/{prefix}/namespaces": ("GET POST", rest_namespaces.namespaces),
    _NAMESPACE: ("GET HEAD DELETE", rest_namespaces.namespace),
    f"{_NAMESPACE}/properties": ("POST", rest_namespaces.namespace_properties),
    f"{_NAMESPACE}/tables": ("GET POST", rest_tables.tables),
    f"{_NAMESPACE}/register": ("POST", rest_tables.register),
    f"{_NAMESPACE}/tables/{{table}}": ("GET HEAD POST DELETE", rest_tables.table),
    f"{_NAMESPACE}/tables/{{table}}/metrics": ("POST", rest_tables.metrics),
    f"{_NAMESPACE}/tables/{{table}}/credentials": ("GET", rest_tables.credentials),
    f"{_NAMESPACE}/views": ("GET POST", rest_views.views),
    f"{_NAMESPACE}/register-view": ("POST", rest_views.register_view),
    f"{_NAMESPACE}/views/{{view}}": ("GET HEAD POST DELETE", rest_views.view),
    "/v1/{prefix}/tables/rename": ("POST", rest_tables.rename),
    "/v1/{prefix}/views/rename": ("POST", rest_views.rename_view),
    "/v1/{prefix}/transactions/commit": ("POST", rest_tables.transaction),
}
"""For each path its methods, and what answers them."""

ENDPOINTS = tuple(f"{method} {path}" for path, (methods, _) in ROUTES.items() for method in methods.split())
"""As `GET /v1/config` lists them."""
