"""What keys of a source mean that no field declares: paginators, their options, and parts of a table.

The reference and the JSON Schema for editors show them with the descriptions of the fields.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

PAGINATOR_TEXTS: Final = {
    "single_page": "there is none",
    "header_link": "is the link of a relation in the `Link` header",
    "header_cursor": "is requested with a cursor from a header",
    "json_link": "is the link at a place in the body",
    "cursor": "is requested with a cursor from the body",
    "offset": "begins after the rows received",
    "page_number": "has the next number",
    "newest_first": "lies before the oldest row of this one; needs `page` and an upper bound in"
    " `window.params`",
}
"""What the next page is, by paginator."""

OPTION_TEXTS: Final[dict[str, tuple[Any, str]]] = {
    "links_next_key": ("next", "relation of the link"),
    "cursor_key": ("next", "name of the header"),
    "next_url_path": ("next", "JSONPath of the link; an object's `href` or `url` counts"),
    "cursor_path": ("cursors.next", "JSONPath of the cursor"),
    "cursor_param": ("cursor", "parameter that takes the cursor"),
    "cursor_body_path": (None, "field of `json` that takes the cursor, in place of a parameter"),
    "missing_means_end": (False, "the source leaves link or cursor out on its last page"),
    "stop_after_empty_page": (False, "an empty page is the end though it has a cursor"),
    "has_more_path": (None, "JSONPath of the field that says true or false about more pages"),
    "limit": (None, "rows to request"),
    "limit_param": ("limit", "parameter that takes it"),
    "limit_body_path": (None, "field of `json` that takes it, in place of a parameter"),
    "offset": (0, "the first offset"),
    "offset_param": ("offset", "parameter that takes the offset"),
    "offset_body_path": (None, "field of `json` that takes the offset, in place of a parameter"),
    "maximum_offset": (
        None,
        "offset from which no more pages are requested; the listing then fails, unless its total is reached",
    ),
    "base_page": (0, "number of the first page"),
    "page": (None, "first number to request; default: base_page"),
    "page_param": ("page", "parameter that takes the number"),
    "page_body_path": (None, "field of `json` that takes the number, in place of a parameter"),
    "maximum_page": (
        None,
        "page number from which no more pages are requested; the listing then fails, unless its total is"
        " reached",
    ),
    "total_path": (
        None,
        "JSONPath of the total, which has to be reached: of rows, with `page_number` of rows or pages",
    ),
}
"""Default and meaning of each option of the paginators."""

_TABLE: Final = {
    "name": "name of the tables `raw.<name>` and `quarantine.<name>`; the asset is `dlt_<name>`",
    "description": "what it is, for Dagster's pages",
    "owner": "mail address, or `team:<name>`",
    "group": "Dagster's group of the asset",
    "kinds": "Dagster's kinds of the asset, three at most",
    "tags": "Dagster's tags of the asset",
    "key": "columns that identify a row",
    "page": "in a source with rest: how many rows to request at a time",
    "window": "how days are requested",
    "columns": "the columns by name, each by its type alone (`id: int`) or with the keys below",
    "quarantine": "when a day fails by its bad rows",
    "shrink": "when a day that comes back smaller is held back",
    "cadence": "when it is loaded automatically",
    "freshness": "from which age on the newest load is stale",
    "checks": "thresholds of the checks that each raw table has",
    "pool": "Dagster's pool, which limits how many loads run at a time",
    "retries": "how often a failed load is retried",
}


def describe_key(model: type[BaseModel], name: str) -> str:
    """Return what the key `name` of a part of a source means; blank if nothing says so."""
    found = model.model_fields[name].description or ""
    return found or (_TABLE.get(name, "") if model.__name__ == "SourceTable" else "")
