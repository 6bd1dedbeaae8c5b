"""Where in an answer its rows are: the JSON, the selector, and what stands there in place of a list."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson

from millpond.ingestion.rest.body_errors import find_error
from millpond.ingestion.rest.markers import way_to

_MOST_DIGITS: Final = 4_000
"""Python refuses to read longer integers."""
_MANY: Final = re.compile(r"[*?|&:,`]|\.\.")
"""What makes a selector lead to more than one place."""
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_MARK: Final = -7.700001e-77
"""What stands for the rows where a body is looked into without them."""
_BESIDE_ROWS: Final = 64 << 10
_TRIES: Final = 3


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


def names_are_repeated(body: bytes, parsed: Any) -> bool:
    """Return whether an object of `body` may have a name twice: parsing has then dropped quotes with it.

    A quote that is written as a number has more signs once it is written again, which may make up for these.
    """
    if b"\\" in body and rb"\u0022" in body:
        return True
    if _are_flat_and_named_once(body, parsed):
        return False
    try:
        return orjson.dumps(parsed).count(b'"') != body.count(b'"')
    except TypeError:  # half a surrogate, or an integer of more than 64 bits
        return True


def _are_flat_and_named_once(body: bytes, parsed: Any) -> bool:
    """Return whether `body` is a list of objects without objects inside, and certainly repeats no name.

    Without quotes inside of texts and blanks before colons, no name lacks a quote and a colon behind it, so
    that the objects have all names if they have as many. Faster than to write all of them again, also as it
    looks for single signs, which takes a tenth of the time that two in a row take.
    """
    if type(parsed) is not list or set(map(type, parsed)) != {dict}:
        return False
    if b"\\" in body and b'\\"' in body:
        return False
    signs = np.frombuffer(body, np.uint8)
    if np.count_nonzero(signs == ord("{")) != len(parsed):
        return False
    before = signs[np.flatnonzero(signs == ord(":")) - 1]
    if any(np.count_nonzero(before == blank) for blank in b" \t\n\r"):
        return False
    return int(np.count_nonzero(before == ord('"'))) == sum(map(len, parsed))


def select_rows(
    body: bytes,
    selector: str,
    not_errors: Collection[str],
    single_object: bool,
    fields: Collection[str] = (),
) -> tuple[bytes, list[Any] | None, bytes | None]:
    """Return the list that `selector` finds in `body`, as JSON; its value and the rest, if it was cut out.

    Else numbers may be written differently.
    A selector with wildcards finds the rows themselves, each at a place of its own; any other has to find one
    list, or one object that is the only row if `single_object` says so. Null is no row. A body with one of
    the `fields` of a row is that row where nothing is around it. Raises ValueError.
    """
    cut = None if single_object else _cut_out(body, selector)
    document = cut[0] if cut else _exact(body, way_to(selector))
    is_row = selector == "$" and isinstance(document, dict) and any(name in document for name in fields)
    if not is_row and (said := find_error(document, selector, not_errors)):
        raise ValueError(f"it says {said}; if that is no failure, add the field to endpoint.not_markers")
    if cut:
        return cut[1:]
    if _MANY.search(_QUOTED.sub("", selector)):
        rows = _at(document, selector)
        if len(rows) == 1 and isinstance(rows[0], list) and not selector.endswith("[*]"):
            rows = rows[0]
    else:
        (place,) = _at(document, selector)
        return _as_json(_to_rows(place, selector, single_object)), None, None
    if rows and all(isinstance(row, list) for row in rows):
        raise ValueError(
            f"at {selector} are {len(rows)} lists, not rows; [*] at the end takes their elements"
        )
    return _as_json(rows), None, None


def is_beside(path: str, selector: str) -> bool:
    """Return whether what is at `path` is certainly not in the rows at `selector`."""
    rows = way_to(selector)
    return not _MANY.search(_QUOTED.sub("", path)) and way_to(path)[: len(rows)] != rows


def _cut_out(body: bytes, selector: str) -> tuple[Any, bytes, list[Any], bytes] | None:
    """Return `body` with a mark in place of its rows, their JSON and values, and the former as JSON.

    None if that is not easy. What is between two brackets is the list of rows if it is a list by itself, and
    if the body with another list in its place is JSON that has that other list where the rows should be.
    """
    way, mark = way_to(selector), str(_MARK).encode()
    if not way or ".".join(way) != selector.removeprefix("$").removeprefix(".") or mark in body:
        return None
    begins = re.compile(rb"%b[ \t\r\n]*:[ \t\r\n]*(?=\[)" % re.escape(json.dumps(way[-1]).encode()))
    for begin in itertools.islice(begins.finditer(body), _TRIES):
        start, end = begin.end(), len(body)
        for _ in range(_TRIES):
            end = body.rfind(b"]", start, end)
            if end < 0 or start + len(body) - end > _BESIDE_ROWS:
                break
            rows, rest = body[start : end + 1], b"%b[%b]%b" % (body[:start], mark, body[end + 1 :])
            try:
                document = _exact(rest, way)
                if _at(document, selector) == [[_MARK]]:
                    return document, rows, orjson.loads(rows), rest
            except ValueError:
                continue
    return None


def kind_of(value: Any) -> str:
    """Return what kind of JSON value `value` is, with its article."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")


def _to_rows(value: Any, place: str, single_object: bool) -> list[Any]:
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
    above, elements, below = selector.rpartition("[*]")
    if elements and not _MANY.search(_QUOTED.sub("", below)):
        found = [element for place in _at(document, above) for element in _to_rows(place, above, False)]
        return [value for element in found for value in _find(f"${below}", element) or [element]]
    found = _find(selector, document)
    if not found:
        above = _MANY.split(selector)[0].rstrip("[.")
        if above == selector or not above.strip("$") or _at(document, above) not in ([None], [[]], [{}]):
            raise ValueError(f"it has nothing at {selector}")
    return found


def _find(path: str, document: Any) -> list[Any]:
    from millpond.internals.dlt import jsonpath

    return jsonpath.find_values(_compile(path), document)


@lru_cache(64)
def _compile(path: str) -> Any:
    from millpond.internals.dlt import jsonpath

    return jsonpath.compile_path(path)


def _as_json(rows: list[Any]) -> bytes:
    return json.dumps(rows, separators=(",", ":")).encode()


def _exact(body: bytes, way: Collection[str]) -> Any:
    """Return the value of `body` with integers of any size as they are.

    Raises ValueError if a name on the `way` to its rows is given twice: of two lists one would be lost.
    """
    parsed = parse_json(body)

    def only_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, value in pairs if isinstance(value, list | dict)]
            if twice := next((name for name in way if names.count(name) > 1), None):
                raise ValueError(f"it has {twice} twice, and rows would be lost with one of them")
        return found

    hook = only_once if names_are_repeated(body, parsed) else None
    try:
        return json.loads(body.decode(), parse_int=parse_integer, object_pairs_hook=hook)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
