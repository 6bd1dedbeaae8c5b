"""Where in an answer its rows are: the JSON, the selector, and what stands there in place of a list."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, Final

import orjson

_MOST_DIGITS: Final = 4_000
"""Python refuses to read longer integers."""
_MANY: Final = re.compile(r"[*?|&:,`]|\.\.")
"""What makes a selector lead to more than one place."""
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_ERRORS: Final = frozenset(
    {"error", "errors", "errormessage", "errorcode", "errordescription", "exception", "fault", "failures"}
)
_SUCCESSES: Final = frozenset({"ok", "success", "successful", "issuccess", "issuccessful", "succeeded"})
_PARTIAL: Final = frozenset({"partial", "partialresults", "timedout"})
_STATUSES: Final = frozenset({"status", "statuscode", "code", "result"})
_FAILED: Final = frozenset({"error", "fail", "failed", "failure", "ko", "nok"})
_WARNINGS: Final = frozenset({"warning", "warnings"})
_CUT: Final = re.compile(r"truncat|incomplete|partial|time[d ]?-? ?out|limit (was )?(reached|exceeded)", re.I)
_ABOUT: Final = frozenset({"meta", "metadata", "status", "header", "responsestatus"})
"""Objects beside the rows that say how the answer came about."""


def parse_json(body: bytes) -> Any:
    """Return the value of a UTF-8 `body`; raises ValueError."""
    try:
        return orjson.loads(body)
    except ValueError as error:
        if not body:
            raise ValueError("it is empty") from None
        try:  # takes NaN, half surrogates and numbers of any size, for which single rows are to blame
            return json.loads(body.decode(), parse_int=parse_integer)
        except RecursionError:
            raise ValueError("its values are nested too deeply") from None
        except ValueError:
            raise ValueError(f"it is not JSON ({error})") from None


def parse_integer(digits: str) -> int | float:
    """Return an integer of any size; one of more digits than Python reads as a float."""
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)


def select_rows(body: bytes, selector: str, not_errors: Collection[str], single_object: bool) -> bytes:
    """Return the list that `selector` finds in `body`, as JSON; numbers may be written differently.

    A selector with wildcards finds the rows themselves, each at a place of its own; any other has to find one
    list, or one object that is the only row if `single_object` says so. Null is no row. Raises ValueError.
    """
    document = _exact(body)
    if said := _failure_in(document, selector, not_errors):
        raise ValueError(f"it says {said}; if that is no failure, add the field to endpoint.not_markers")
    if _MANY.search(_QUOTED.sub("", selector)):
        rows = _at(document, selector)
        if len(rows) == 1 and isinstance(rows[0], list) and not selector.endswith("[*]"):
            rows = rows[0]
    else:
        (place,) = _at(document, selector)
        return _as_json(_listed(place, selector, single_object))
    if rows and all(isinstance(row, list) for row in rows):
        raise ValueError(
            f"at {selector} are {len(rows)} lists, not rows; [*] at the end takes their elements"
        )
    return _as_json(rows)


def kind_of(value: Any) -> str:
    """Return what kind of JSON value `value` is, with its article."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")


def _listed(value: Any, place: str, single_object: bool) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, dict) and single_object:
        return [value]
    if not isinstance(value, list) or single_object:
        expected = "a single object" if single_object else "a list of rows"
        hint = "; if it is the only row, set endpoint.single_object: true" if isinstance(value, dict) else ""
        raise ValueError(f"at {place} is {kind_of(value)}, not {expected}{hint}")
    return value


def _at(document: Any, selector: str) -> list[Any]:
    """Return what is at `selector`; nothing if what is above its first wildcard is empty or null.

    An element of a list (`[*]`) that lacks what the selector leads to is returned itself: it is no good row,
    but it is one.
    """
    from dlt.common import jsonpath

    above, elements, below = selector.rpartition("[*]")
    if elements and not _MANY.search(_QUOTED.sub("", below)):
        found = [element for place in _at(document, above) for element in _listed(place, above, False)]
        way = jsonpath.compile_path(f"${below}")
        return [value for element in found for value in jsonpath.find_values(way, element) or [element]]
    found = jsonpath.find_values(jsonpath.compile_path(selector), document)
    if not found:
        above = _MANY.split(selector)[0].rstrip("[.")
        if above == selector or not above.strip("$") or _at(document, above) not in ([None], [[]], [{}]):
            raise ValueError(f"it has nothing at {selector}")
    return found


def _as_json(rows: list[Any]) -> bytes:
    return json.dumps(rows, separators=(",", ":")).encode()


def _exact(body: bytes) -> Any:
    """Return the value of `body` with integers of any size as they are."""
    parse_json(body)
    try:
        return json.loads(body.decode(), parse_int=parse_integer)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def _failure_in(document: Any, selector: str, not_errors: Collection[str]) -> str:
    """Return the field of an answer's object that says that the answer failed, blank if none does."""
    if not isinstance(document, dict):
        return ""
    way = set(re.findall(r"\w+", selector))
    for name, value in document.items():
        if name in {*way, *not_errors}:
            continue
        plain = re.sub(r"[^a-z]", "", name.lower())
        if _says_failed(plain, value):
            return f"{name}: {json.dumps(value)[:120]}"
        if plain in _ABOUT and isinstance(value, dict) and (inner := _failure_in(value, "", not_errors)):
            return f"{name}.{inner}"
    return ""


def _says_failed(name: str, value: Any) -> bool:
    """Return whether a field of this plain name says by its value that an answer failed, or is not whole."""
    if name in _ERRORS:
        return bool(value)
    if name in _SUCCESSES:
        return value is False or value == 0 or str(value).lower() == "false"
    if name in _PARTIAL:
        return value is True
    if name in _STATUSES:
        failed = isinstance(value, str) and value.lower() in _FAILED
        return failed or (type(value) is int and 400 <= value < 600)
    if name == "shards":
        return isinstance(value, dict) and bool(value.get("failed"))
    return name in _WARNINGS and bool(_CUT.search(json.dumps(value)))
