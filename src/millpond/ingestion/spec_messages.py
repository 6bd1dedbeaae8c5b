"""What is wrong in a spec, in plain words, and the key or value that was meant."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from millpond.ingestion.spec import SourceSpec

_COMPARE: Final = "`millpond sources schema` describes each key, with examples"
_EXPECTED: Final = {
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys with values",
    "mapping_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
_FOUND: Final = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "keys with values",
    type(None): "empty",
}
_LIMITS: Final = {
    "greater_than": "has to be more than {gt}",
    "greater_than_equal": "has to be {ge} or more",
    "less_than": "has to be less than {lt}",
    "less_than_equal": "has to be {le} or less",
    "too_short": "needs more entries: {min_length} or more",
    "too_long": "has too many entries: {max_length} at most",
    "string_too_short": "is too short: {min_length} or more characters",
    "string_too_long": "is too long: {max_length} characters at most",
    "string_pattern_mismatch": "does not have the form {pattern}",
}
_OF_DLT: Final = {
    "evolve": "add",
    "discard_value": "ignore",
    "discard_row": "quarantine",
    "param": "query",
    "json_response": "json_link",
}
"""Words of dlt that are other ones here."""

Path = list[str | int]


@dataclass(frozen=True)
class Mistake:
    """A mistake in a spec: the keys that lead to it, what is wrong, and what to write."""

    path: Path
    what: str
    next_step: str


def show_path(path: Path) -> str:
    """Return the keys that lead to a place as one text."""
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in path]
    return "".join(parts).removeprefix(".") or "the top"


def explain(error: ValidationError, content: Any = None) -> Mistake:
    """Return the first mistake that `error` is about; `content` is what was read, where it is known."""
    every = error.errors(include_url=False)
    problem = next((each for each in every if each["type"] == "extra_forbidden"), every[0])
    path = _find_path(problem["loc"], content)
    of_it = [each for each in every if _find_path(each["loc"], content)[: len(path)] == path]
    others = [each for each in every if each not in of_it and each["type"] not in {"too_short", "missing"}]
    reason, example, near = _describe(problem, of_it, path)
    if problem["type"] == "missing" and near:
        path = path[:-1]
    path = _find_key(path, reason, content)
    more = len(others)
    what = f"{reason}{f' ({more} more mistakes)' if more > 1 else ' (1 more mistake)' if more else ''}"
    general = f"write for example {example}" if example else _COMPARE
    hint = _hint(list(problem["loc"]), path, of_parts=problem["type"] != "value_error")
    if near and hint.startswith("did you mean"):
        hint = ""
    return Mistake(path, what, near + (hint or general))


def _find_path(loc: Sequence[str | int], content: Any) -> Path:
    """Return the keys of `loc` that are written in a spec: pydantic adds the names of types."""
    path: Path = []
    for place, key in enumerate(loc):
        if isinstance(content, Mapping):
            is_tag = key not in content or key == content.get("type")
            if is_tag and place < len(loc) - 1:
                continue
            written = key in content or not _is_type(key)
            content = content.get(key)
        elif isinstance(content, list):
            written = isinstance(key, int)
            content = content[key] if isinstance(key, int) and key < len(content) else None
        else:
            written = isinstance(key, int) or not _is_type(key)
        if written:
            path.append(key)
    return path


def _is_type(key: str | int) -> bool:
    """Return whether a part of a place is the name of a type, not a key."""
    tags = {"bearer", "api_key", "http_basic", "oauth2_client_credentials", "int", "float", "str", "bool"}
    return isinstance(key, str) and (key in tags or "[" in key or key[:1].isupper() or "-" in key)


def _find_key(path: Path, reason: str, content: Any) -> Path:
    """Return `path`, one key longer where the reason is about that key: as it begins, or in quotes."""
    for key in path:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return path
    reasons = (
        re.match(r"(\w+)\b", reason),
        re.search(r"has no option '([^']+)'|nothing called '([^']+)'", reason),
    )
    for found in filter(None, reasons):
        name = next(filter(None, found.groups()), None)
        if name and isinstance(content, Mapping) and name in content:
            return [*path, name]
    return path


def _describe(problem: Any, of_it: Sequence[Any], path: Path) -> tuple[str, str, str]:
    """Return what is wrong, an example if the reason has one, and what was meant, if that is near."""
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"there is nothing called {str(path[-1])!r}", "", ""
    if kind == "value_error":
        reason, _, example = problem["msg"].removeprefix("Value error, ").rpartition("for example ")
        if not reason:
            reason, example = example, ""
        return reason.rstrip("; ,"), example, _near_value(problem)
    if kind in {"missing", "union_tag_not_found"}:
        name = "type" if kind == "union_tag_not_found" else str(path[-1])
        near = _near(name, given) if isinstance(given, Mapping) else None
        if near:
            return f"there is nothing called {near!r}", "", f"did you mean {name}? "
        return ("is missing" if kind == "missing" else "type is missing"), "", ""
    if kind == "union_tag_invalid":
        known = re.findall(r"'(\w+)'", context["expected_tags"])
        reason = f"type is {context['tag']!r}; it may be {', '.join(known)}"
        return reason, "", _meant(str(context["tag"]), known)
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        what = repr(given) if isinstance(given, str) else _name(given)
        reason = f"is {what}; it may be {' or '.join(filter(None, [', '.join(known[:-1]), known[-1]]))}"
        return reason, "", _meant(given, known) if isinstance(given, str) else ""
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context), "", ""
    expected = list(dict.fromkeys(_EXPECTED[each["type"]] for each in of_it if each["type"] in _EXPECTED))
    if "a number" in expected:
        expected = [each for each in expected if each != "a whole number"]
    if expected:
        found = _name(given)
        fraction = found in expected or (found == "a number" and "a whole number" in expected)
        return f"is {'a fraction' if fraction else found}, not {' or '.join(expected)}", "", ""
    said = problem["msg"].replace("Input should be", "has to be").replace(" valid", "")
    return said[:1].lower() + said[1:], "", _near_value(problem)


def _name(given: Any) -> str:
    other = "a function" if inspect.isroutine(given) else f"a {type(given).__name__}"
    return next((name for kind, name in _FOUND.items() if type(given) is kind), other)


def _meant(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(_OF_DLT.get(given, given), known, n=1)
    return f"did you mean {near[0]}? " if near else ""


def _near(name: str, given: Mapping[str, Any]) -> str | None:
    return next(iter(difflib.get_close_matches(name, [str(key) for key in given], n=1)), None)


def _near_value(problem: Any) -> str:
    """Return the value, column or option that was meant, if what was written is nearly one."""
    given, said = problem["input"], problem["msg"]
    known = [
        part
        for text in re.findall(r"there are (.*?);", said.replace(" and ", ", "))
        for part in text.split(", ")
    ]
    if found := re.search(r"names the column (\w+), which columns does not declare", said):
        given, known = found[1], list(given.get("columns", ())) if isinstance(given, Mapping) else []
    elif found := re.search(r"(?:no option|no paginator) '([^']+)'; (?:it has|there are) (.*)", said):
        given, known = found[1], found[2].split(", ")
    return _meant(given, known) if isinstance(given, str) else ""


def _hint(loc: Path, path: Path, of_parts: bool) -> str:
    model: Any = SourceSpec
    field = None
    keys = iter(loc)
    for key in keys:
        if isinstance(model, tuple):
            model = next((each for each in model if each.model_fields["type"].default == key), model[0])
            if model.model_fields["type"].default == key:
                continue
        if isinstance(key, str) and isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(key)
            if field is None:
                return _list_keys(str(path[-1]) if path else key, model)
            found = list(_models_in(field.annotation))
            model = tuple(found) if len(found) > 1 else found[0] if found else None
            if get_origin(field.annotation) is dict:
                next(keys, None)
    fits = of_parts or not (isinstance(model, type) and issubclass(model, BaseModel))
    return f"write for example {field.examples[0]}" if field and field.examples and fits else ""


def _list_keys(name: str, model: type[BaseModel]) -> str:
    return f"{_meant(name, list(model.model_fields))}there may be {', '.join(model.model_fields)}"


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for argument in get_args(annotation):
        yield from _models_in(argument)
