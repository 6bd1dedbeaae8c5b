"""The two protocols: Nightscout's entries and GitHub's events of a user."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from itertools import islice

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from millpond.runtime.demo_source import DEMO_USER, activity, glucose

_ENTRIES_DEFAULT, _ENTRIES_MOST = 10, 1000
_EVENTS_DEFAULT, _EVENTS_PER_PAGE, _EVENTS_MOST = 30, 100, 300
_DAY_MS = 24 * 3600 * 1000
_COMPARISONS = {"$gte": (0, 0), "$gt": (0, 1), "$lt": (1, 0), "$lte": (1, 1)}
"""Which bound of a half-open range a comparison sets (0 lower, 1 upper), and what to add to its value."""


def build_app() -> Starlette:
    """Return the ASGI application, with its recordings loaded."""
    entries, events = glucose.recording(), activity.recording()

    def nightscout(request: Request) -> Response:
        try:
            start, end = _span(request.query_params)
            count = int(request.query_params.get("count", _ENTRIES_DEFAULT))
        except ValueError as error:
            return JSONResponse({"status": 400, "message": f"bad query: {error}"}, 400)
        found = entries[0].newest_first(start, min(end, _now() + 1))
        rows = islice(found, max(0, min(count, _ENTRIES_MOST)))
        answer = _json_list([glucose.as_json(entries[1][index], ms) for index, ms in rows])
        return _add_etag(request, answer)

    def github(request: Request) -> Response:
        user = request.path_params["user"]
        if user != DEMO_USER:
            hint = f"the demo source only has {DEMO_USER}; set MILLPOND_GITHUB_URL for a real account"
            return JSONResponse({"message": "Not Found", "documentation_url": hint}, 404)
        try:
            per_page = min(int(request.query_params.get("per_page", _EVENTS_DEFAULT)), _EVENTS_PER_PAGE)
            page = int(request.query_params.get("page", 1))
        except ValueError:
            page = per_page = 0
        if page < 1 or per_page < 1 or (page - 1) * per_page >= _EVENTS_MOST:
            return JSONResponse({"message": "pagination is limited for this resource"}, 422)
        now = _now()
        newest = events[0].newest_first(now - activity.LISTED_DAYS * _DAY_MS, now + 1)
        listed = list(islice(newest, _EVENTS_MOST))
        rows = listed[(page - 1) * per_page : page * per_page]
        answer = _json_list([activity.as_json(events[1][index], ms, user) for index, ms in rows])
        answer.headers["X-Poll-Interval"] = "60"
        if page * per_page < len(listed):
            there = request.url.include_query_params(per_page=per_page, page=page + 1)
            answer.headers["Link"] = f'<{there}>; rel="next"'
        return _add_etag(request, answer)

    def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/api/v1/entries.json", nightscout),
            Route("/users/{user}/events", github),
        ]
    )


def _now() -> int:
    return int(time.time() * 1000)


def _span(query: QueryParams) -> tuple[int, int]:
    """Return the half-open range of milliseconds that `find[date]` and `find[dateString]` select."""
    span = [0, _now() + 1]
    for comparison, (bound, more) in _COMPARISONS.items():
        if value := query.get(f"find[date][{comparison}]"):
            _narrow(span, bound, int(value) + more)
        if value := query.get(f"find[dateString][{comparison}]"):
            moment = dt.datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
            _narrow(span, bound, round(moment.timestamp() * 1000) + more)
    return span[0], span[1]


def _narrow(span: list[int], bound: int, value: int) -> None:
    span[bound] = min(span[bound], value) if bound else max(span[bound], value)


def _add_etag(request: Request, answer: Response) -> Response:
    """Return `answer` with its ETag, or 304 if the client sent that ETag."""
    answer.headers["ETag"] = f'"{hashlib.sha256(bytes(answer.body)).hexdigest()[:32]}"'
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if answer.headers["ETag"] in known or "*" in known:
        return Response(status_code=304, headers={"ETag": answer.headers["ETag"]})
    return answer


def _json_list(rows: list[bytes]) -> Response:
    return Response(b"[" + b",".join(rows) + b"]", media_type="application/json")


app = build_app
"""The name by which compose files start it, those of projects made before too."""
