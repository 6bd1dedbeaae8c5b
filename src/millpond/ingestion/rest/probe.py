"""One small request to a source: is it there, and what are its newest rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from millpond.errors import SourceRefused
from millpond.ingestion.rest import source_request
from millpond.ingestion.rest.auth import create_auth
from millpond.ingestion.rest.http import SourceSession
from millpond.ingestion.rest.pages import PageDecoder
from millpond.ingestion.rest.placeholders import Values, fill
from millpond.ingestion.retry import Gate, Limits
from millpond.ingestion.spec import SourceSpec, SourceTable


@dataclass(frozen=True)
class ProbeResult:
    """An answer: a table of `_payload` and `_time` (microseconds), None if nothing changed since `etag`."""

    rows: pa.Table | None
    etag: str | None


def probe(
    source: SourceSpec,
    table: SourceTable,
    values: Values,
    limits: Limits,
    span: source_request.Span,
    zone: dt.tzinfo,
    *,
    extra: Mapping[str, Any] | None = None,
    etag: str | None = None,
) -> ProbeResult:
    """Return the first page that `source` serves for the half-open `span` of time, in microseconds.

    `extra` are parameters besides those of the spec, `etag` what the source said of its answer last time.
    Raises a SourceError.
    """
    asked = table.asked_time
    time = (table.columns[asked.column].path(asked.column), asked.unit) if asked else None
    endpoint = table.http
    not_errors, single = tuple(endpoint.not_markers), endpoint.single_object
    decode = PageDecoder(endpoint.data_selector, time, not_errors=not_errors, single_object=single, zone=zone)
    base_url = fill(source.http.base_url, values)
    request = source_request.build_request(table, values, span, zone)
    gate = Gate()
    with SourceSession(source.source, base_url, decode, limits, gate, endpoint) as session:
        answer = session.request(
            url=f"{base_url.rstrip('/')}/{request.pop('path')}",
            params={**request.pop("params"), **(extra or {})},
            headers={
                **fill(source.http.headers, values),
                **request.pop("headers"),
                **({"If-None-Match": etag} if etag else {}),
            },
            **request,
            auth=create_auth(source, values, limits, gate),
        )
    found = answer.headers.get("ETag")
    if answer.status_code == 304:
        return ProbeResult(None, found or etag)
    if not hasattr(answer, "page"):
        raise SourceRefused(
            f"the answer with HTTP {answer.status_code} leads nowhere", next_step="check the address"
        )
    return ProbeResult(answer.page, found)
