"""What an answer says about itself beside its rows: that it failed, or that it is not whole."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from millpond.ingestion.rest.marker_words import INSIDE
from millpond.ingestion.rest.markers import as_count, as_truth, way_to

_ERRORS: Final = re.compile(
    r"errors?|error(message|code|description|details?|info|type|s?list)|exceptions?|faults?"
    r"|un(processed|fetched|returned)(keys|items|rows|records|results)?"
)
"""Which say it by any value that is not blank."""
_FLAGS: Final = re.compile(
    r"(has|is|with|contains)(any)?(errors?|failed|failures?|faults?|errored)|errored"
    r"|(is|has|are|was|results?|data|response)*"
    r"(partial(result|respons|data|content|success|failure)?(s|es?)?|timedout|terminatedearly|aborted|degraded)"
    r"|incompleteresults"
)
"""Which say it by yes, or by a number above 0."""
_COUNTS: Final = re.compile(
    r"fail(ed|ures?)|(num|number|total)(of)?(errors|failures|failed)|(error|fail(ed|ure))s?count"
)
_SUCCESSES: Final = re.compile(r"ok|(is|was)?success(ful)?|succeeded|(job|query|search)(is)?completed?")
_STATUSES: Final = frozenset({"status", "statuscode", "code", "result"})
_FAILED: Final = re.compile(
    r"error(ed)?|fail(ed|ure)?|n?ko|nok|fault|partial\w*|incomplete|truncated|timed?out|degraded"
)
_WARNINGS: Final = re.compile(r"warn(ings?)?")
_NOTES: Final = re.compile(r"(messages?|msg|notices?|notes?)(text)?")
_CUT: Final = re.compile(
    r"truncat|incomplete|\bpartial|time[d ]?-? ?out|limit (was )?(reached|exceeded)|cut off"
    r"|(rows|results|records|items|entries) (are|were) (missing|omitted|dropped|limited|capped)",
    re.IGNORECASE,
)
_BLANK: Final = frozenset(["", "0", "false", "no", "none", "null", "nil", "ok", "success", "noerror"])
_ENVELOPES: Final = frozenset(
    {"meta", "metadata", "status", "header", "responsestatus", "response", "result", "results", "info"}
)
"""Objects whose fields speak of the answer; others around the rows may be what the rows belong to."""
_DEEP: Final = 4


def find_error(document: Any, selector: str, ignored: Collection[str]) -> str:
    """Return the field beside the rows at `selector` that says that the answer failed; blank if none does."""
    if re.match(r"(\$?\.{0,2})(\*|\[\*\])", selector):
        return _error_in(document, [], {*ignored}, 1, envelope=True)
    words = re.findall(r"\w+", selector)
    return _error_in(document, way_to(selector), {*ignored, *words}, _DEEP, envelope=True)


def _error_in(node: Any, way: list[str], ignored: set[str], depth: int, *, envelope: bool) -> str:
    if not isinstance(node, Mapping) or not depth:
        return ""
    for name, value in node.items():
        on_the_way = bool(way) and name == way[0]
        plain = re.sub(r"[^a-z]", "", name.lower())
        if not on_the_way:
            if name in ignored:
                continue
            if _says_failed(plain, value, envelope):
                return f"{name}: {json.dumps(value)[:120]}"
        elif len(way) == 1:
            continue  # the rows
        if on_the_way or plain in _ENVELOPES or INSIDE.fullmatch(plain):
            rest, speaks = way[1:] if on_the_way else [], plain in _ENVELOPES
            if inner := _error_in(value, rest, ignored, depth - 1, envelope=speaks):
                return f"{name}.{inner}"
    return ""


def _says_failed(name: str, value: Any, envelope: bool) -> bool:
    """Return whether a field of this plain name says by its value that an answer failed, or is not whole."""
    if _ERRORS.fullmatch(name):
        return not _is_blank(value)
    if _FLAGS.fullmatch(name):
        return as_truth(value) is True or bool(as_count(value))
    if _SUCCESSES.fullmatch(name):
        return as_truth(value) is False
    if name in {"shards", "clusters"}:
        return isinstance(value, Mapping) and any(bool(value.get(each)) for each in ("failed", "partial"))
    if _WARNINGS.fullmatch(name) or (_NOTES.fullmatch(name) and _is_text(value)):
        return bool(_CUT.search(json.dumps(value)))
    if not envelope:
        return False
    if _COUNTS.fullmatch(name):
        return not _is_blank(value)
    if name in _STATUSES:
        number = as_count(value)
        said = re.sub(r"[^a-z]", "", value.lower()) if isinstance(value, str) else ""
        return bool(_FAILED.fullmatch(said)) or (number is not None and 400 <= number < 600)
    return False


def _is_blank(value: Any) -> bool:
    """Return whether `value` names no error: nothing, zero, no, or only such values."""
    if isinstance(value, Mapping):
        return all(map(_is_blank, value.values()))
    if isinstance(value, list):
        return all(map(_is_blank, value))
    return not value or re.sub(r"[^a-z0-9]", "", str(value).lower()) in _BLANK


def _is_text(value: Any) -> bool:
    return all(isinstance(each, str) for each in (value if isinstance(value, list) else [value]))
