"""Looks at an endpoint of a REST source: its rows, their key and time, paging, and the filter by time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from millpond import redaction
from millpond.errors import ConfigError
from millpond.ingestion.inspection.fields import Field, list_fields, newest_day
from millpond.ingestion.inspection.options import UNHARMED, Options
from millpond.ingestion.inspection.proposal import DAILY, HOURLY, Proposal
from millpond.ingestion.inspection.rest_answers import Answer, Client
from millpond.ingestion.inspection.rest_paging import Paging, find_paging
from millpond.ingestion.inspection.rest_window import find_window
from millpond.ingestion.inspection.roles import choose_key, choose_time
from millpond.ingestion.rest.placeholders import connection
from millpond.ingestion.retry import Limits
from millpond.ingestion.schema import column_name
from millpond.settings import Settings

_SECRET: Final = re.compile(r"(api_?key|.*token|key|secret|auth|sig(nature)?)", re.I)
_ENDING: Final = re.compile(r"\.(json|php|aspx?)$", re.I)


def inspect_rest(options: Options, configured: Settings) -> Proposal:
    """Return the source of the endpoint at `options.url`, with `options.path` below it.

    Raises ConfigError for what cannot be chosen, a SourceError if the source does not answer as one does.
    """
    base, path, params, secret = split_address(options)
    set_up = configured.source(options.name)
    token = secret[1] if secret else set_up.token.get_secret_value() if set_up.token else None
    redaction.register(token)
    values = connection(base, set_up.user, token)
    client = Client(options.name, base, path, params, values, Limits.of(configured))
    if secret:
        client.auth = {"type": "api_key", "name": secret[0], "api_key": "{token}", "location": "query"}
    first = client.connect()
    if not first.rows:
        raise ConfigError(
            "the endpoint answers with no rows, so nothing can be proposed",
            unharmed=UNHARMED,
            next_step="give an address that has rows, with the parameters that it needs",
        )
    paging = find_paging(client, first)
    sample = _large(client, first, paging)
    fields = list_fields(sample.rows)
    time = choose_time(fields, options.time)
    key = choose_key(fields, sample.rows, time, options.key)
    window: dict[str, Any] | None = {"params": dict(options.window)} if options.window else None
    extra = {str(paging.page["param"]): str(paging.page["size"])} if paging.page else {}
    if time and not window:
        window = find_window(client, sample, time, extra)
    wanted = time.column if time else "a time"
    if window is None:
        time = None
    paging = _walk(paging, window or {}, sample)
    endpoint: dict[str, Any] = {"path": path}
    endpoint |= {"params": dict(params)} if params else {}
    endpoint |= {"data_selector": first.selector} if first.selector != "$" else {}
    endpoint |= {"single_object": True} if first.single_object else {}
    endpoint |= {"paginator": dict(paging.paginator)} if paging.paginator else {}
    rest: dict[str, Any] = {"base_url": "{url}"} | ({"auth": dict(client.auth)} if client.auth else {})
    return Proposal(
        source=options.name,
        table=options.free_name(options.table or column_name(_ENDING.sub("", path).rpartition("/")[2])),
        connection={"rest": rest},
        parts={
            "endpoint": endpoint,
            **({"page": dict(paging.page)} if paging.page else {}),
            **({"window": window} if window else {}),
            "cadence": {"cron": HOURLY if time else DAILY},
        },
        fields=fields,
        key=key,
        time=time,
        unit="iso" if time and time.unit == "date" else None,
        url=base,
        token=secret[1] if secret else None,
        newest=newest_day(sample.rows, time, configured.zone),
        notes=[
            f"rows: at {first.selector} of the answer",
            f"key: {', '.join(field.column for field in key)} (unique in {len(sample.rows)} rows)",
            *paging.notes,
            *_tell_window(time, window, wanted),
        ],
    )


def _tell_window(time: Field | None, window: Mapping[str, Any] | None, wanted: str) -> list[str]:
    if time is None or window is None:
        return [
            "time: no parameter was seen to filter by time, and the rows are not listed newest first, so the"
            " table is loaded whole each time; ask its documentation for a parameter that filters by"
            f' {wanted}, and name it: --window "since={{start_iso}}"'
        ]
    if "margin" in window:
        return [
            f"time: {time.column}",
            f"filter by time: {', '.join(window['params'])}, without an end: all later rows come too",
        ]
    asked = ", ".join(window.get("params", ())) or "none: the newest rows are listed first (window.reach)"
    return [f"time: {time.column}", f"filter by time: {asked}"]


def split_address(options: Options) -> tuple[str, str, Mapping[str, str], tuple[str, str] | None]:
    """Return base address, path below it, parameters, and the credential among them by name and value."""
    address = urlsplit(options.address("https://api.example.org/v1/orders"))
    if address.scheme not in {"http", "https"} or not address.netloc:
        raise ConfigError(
            f"{options.url} is no address of a REST source",
            unharmed=UNHARMED,
            next_step="give one that starts with https://, for example https://api.example.org/v1/orders",
        )
    base, path = address.path.rstrip("/"), (options.path or "").lstrip("/")
    if not path:
        base, _, path = base.rpartition("/")
    if not path:
        raise ConfigError(
            f"{options.url} names no endpoint",
            unharmed=UNHARMED,
            next_step="give its path, for example --path orders",
        )
    path, _, query = path.partition("?")
    given = dict(parse_qsl(address.query) + parse_qsl(query))
    secrets = {name: value for name, value in given.items() if _SECRET.fullmatch(name)}
    params = {
        name: value
        for name, value in given.items()
        if name not in secrets and name not in options.window and not _is_page(name)
    }
    secret = next(iter(secrets.items()), None)
    return urlunsplit((address.scheme, address.netloc, base, "", "")), path, params, secret


def _is_page(name: str) -> bool:
    return name in {"page", "offset", "cursor", "limit", "per_page", "page_size", "skip"}


def _large(client: Client, first: Answer, paging: Paging) -> Answer:
    """Return an answer of many rows, by which types and key are chosen."""
    if paging.page and (answer := client.try_get(**{paging.page["param"]: str(paging.page["size"])})):
        return answer
    return first


def _walk(paging: Paging, window: Mapping[str, Any], sample: Answer) -> Paging:
    """Return newest_first for a source that takes a size and an upper bound, and knows no pages."""
    full = paging.page and len(sample.rows) >= int(paging.page["size"])
    if paging.paginator is None and full and "params" in window:
        return Paging(
            {"type": "newest_first"}, paging.page, ["paging: none; a page lies before the one before"]
        )
    return paging
