"""Who may send a request to the REST catalog, and the route where clients get short-lived tokens."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs

from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from millpond.lake import tokens
from millpond.lake.rest_errors import Forbidden, NotAuthorized, build_response
from millpond.lake.tokens import Grant

OAUTH_PATH = "/v1/oauth/tokens"
_READING = frozenset({"GET", "HEAD"})
_REPORTS = "/metrics"
_WRITE = "`millpond env --write` prints a token that may write, without the checks of a run"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token


class Guard:
    """Lets requests pass that carry a valid bearer token, and tells them what it allows.

    `write` and `read` are tokens that do not expire, those of this machine; others are in the catalog.
    With `writes` False, nothing is changed, whatever the token.
    """

    def __init__(
        self,
        app: ASGIApp,
        write: SecretStr | None = None,
        read: SecretStr | None = None,
        *,
        writes: bool = True,
    ) -> None:
        self._app, self._writes = app, writes
        self._fixed = [
            (token.get_secret_value().encode(), Grant("home", "", scope))
            for token, scope in _pair(write, read)
            if token
        ]

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if request.url.path == OAUTH_PATH and request.method == "POST":
                answer: ASGIApp = await self._exchange(request)
            else:
                scope["millpond.grant"] = await run_in_threadpool(self._authorize, request)
                answer = self._app
        except Exception as error:  # noqa: BLE001 - every failure becomes an answer of the protocol
            answer = build_response(request, error)
        await answer(scope, receive, send)

    def _authorize(self, request: Request) -> Grant:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        found = self._find(text) if kind.lower() == "bearer" else None
        if found is None:
            raise NotAuthorized(
                "a bearer token is required that has not expired; `millpond env` prints how to connect"
            )
        if request.method in _READING or (request.method == "POST" and request.url.path.endswith(_REPORTS)):
            return found
        if found.scope == "read":
            raise Forbidden(
                f"this token is read-only, so {request.method} is refused; nothing was changed. {_WRITE}"
            )
        if not self._writes:
            raise Forbidden(
                f"this catalog is served read-only, so {request.method} is refused; nothing was changed."
                " `millpond catalog serve --write` serves one that takes writes"
            )
        return found

    def _find(self, text: str) -> Grant | None:
        given = text.encode()
        matching = [grant for token, grant in self._fixed if hmac.compare_digest(given, token)]
        return matching[0] if matching else tokens.verify(text)

    async def _exchange(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        return await run_in_threadpool(self._issue, form)

    def _issue(self, form: dict[str, str]) -> Response:
        match form.get("grant_type"):
            case "client_credentials":
                found = tokens.verify_secret(form.get("client_id", ""), form.get("client_secret", ""))
            case kind if kind == _EXCHANGE:
                found = self._find(form.get("subject_token", ""))
            case other:
                return _refuse("unsupported_grant_type", f"{other} is no way to get a token here")
        if found is None:
            return _refuse("invalid_client", "there is no such token, or it has expired", status=401)
        asked = set(form.get("scope", "").split())
        wanted: tokens.Scope | None = "write" if "write" in asked else "read" if "read" in asked else None
        try:
            grant, text = tokens.exchange(found, wanted)
        except ValueError as error:
            return _refuse("invalid_scope", str(error))
        assert grant.expires_at
        assert grant.created_at
        return JSONResponse(
            {
                "access_token": text.get_secret_value(),
                "token_type": "bearer",
                "expires_in": int((grant.expires_at - grant.created_at).total_seconds()),
                "issued_token_type": _ACCESS_TOKEN,
                "scope": grant.scope,
            },
            headers={"Cache-Control": "no-store"},
        )


def _pair(
    write: SecretStr | None, read: SecretStr | None
) -> tuple[tuple[SecretStr | None, tokens.Scope], ...]:
    return (write, "write"), (read, "read")


def get_grant(request: Request) -> Grant:
    """Return what the token of a request allows."""
    found: Grant = request.scope["millpond.grant"]
    return found


def require_within(request: Request, namespace: tuple[str, ...] = ()) -> None:
    """Raise Forbidden if a request's token is for another ref, or another namespace."""
    grant = get_grant(request)
    ref = request.path_params.get("prefix") or request.query_params.get("warehouse") or grant.ref
    if grant.ref is not None and grant.ref != str(ref).partition("@")[0]:
        raise Forbidden(f"this token is for the ref {grant.ref}, not for {ref}; nothing was changed")
    if grant.namespace is not None and namespace and namespace[0] != grant.namespace:
        raise Forbidden(
            f"this token is for the namespace {grant.namespace}, not for {'.'.join(namespace)};"
            " nothing was changed"
        )


def _refuse(error: str, description: str, *, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)
