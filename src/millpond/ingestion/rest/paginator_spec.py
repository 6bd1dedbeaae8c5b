"""How the next page is found: what a spec says about it, checked when it is read."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

PAGINATORS: Final[dict[str, frozenset[str]]] = {
    "newest_first": frozenset(),
    "single_page": frozenset(),
    "header_link": frozenset({"links_next_key"}),
    "header_cursor": frozenset({"cursor_key", "cursor_param", "missing_means_end"}),
    "json_link": frozenset({"next_url_path", "missing_means_end"}),
    "cursor": frozenset(
        {
            "cursor_path",
            "cursor_param",
            "cursor_body_path",
            "stop_after_empty_page",
            "has_more_path",
            "missing_means_end",
        }
    ),
    "offset": frozenset(
        {
            "limit",
            "offset",
            "offset_param",
            "limit_param",
            "offset_body_path",
            "limit_body_path",
            "total_path",
            "maximum_offset",
            "has_more_path",
        }
    ),
    "page_number": frozenset(
        {
            "base_page",
            "page",
            "page_param",
            "page_body_path",
            "total_path",
            "maximum_page",
            "has_more_path",
        }
    ),
}
"""The paginators, called as in dlt's rest_api source, and `newest_first`; with their options.

`missing_means_end` says that a source leaves its link or cursor out on the last page.
"""


_PLAIN_PATH: Final = re.compile(r"(\$|(\$\.)?[A-Za-z_]\w*(\[(\d+|\*)\])*(\.[A-Za-z_]\w*(\[(\d+|\*)\])*)*)")
_FLAGS: Final = frozenset({"missing_means_end", "stop_after_empty_page"})
_NUMBERS: Final = {
    "limit": 1,
    "offset": 0,
    "maximum_offset": 1,
    "base_page": 0,
    "page": 0,
    "maximum_page": 1,
}
"""The options that are numbers, each with the least it may be."""


def check_json_path(path: str) -> str:
    """Return `path` if it is a JSONPath; raises ValueError."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    from millpond.internals.dlt import jsonpath  # which takes long to import, and few paths need

    try:
        jsonpath.compile_path(path)
    except Exception as error:  # noqa: BLE001 - whatever its parser raises
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path!r} is no JSONPath ({reason}); for example data.items") from None
    return path


def _check_option(name: str, value: Any) -> tuple[str, bool]:
    """Return what the value of a paginator's option has to be, and whether it is that."""
    if name in _FLAGS:
        return "true or false", isinstance(value, bool)
    if name in _NUMBERS:
        least = _NUMBERS[name]
        return f"a whole number from {least} on", type(value) is int and value >= least
    if name.endswith("_path") and isinstance(value, str) and value:
        check_json_path(value)
    return "a text", isinstance(value, str) and bool(value)


class Paginator(BaseModel):
    """How the next page is found: `newest_first`, or one of dlt's paginators with its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="one of the paginators below", examples=["type: header_link"])

    @model_validator(mode="after")
    def _options_are_known(self) -> Paginator:
        if self.type not in PAGINATORS:
            raise ValueError(f"type: there is no paginator {self.type!r}; there are {', '.join(PAGINATORS)}")
        if unknown := sorted(set(self.options) - PAGINATORS[self.type]):
            known = ", ".join(sorted(PAGINATORS[self.type])) or "none"
            raise ValueError(f"{self.type} has no option {unknown[0]!r}; it has {known}")
        for name, value in self.options.items():
            expected, fits = _check_option(name, value)
            if value is not None and not fits:
                raise ValueError(
                    f"{name} is {value!r}, not {expected}; `millpond sources schema` has the options"
                )
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The options besides the type."""
        return dict(self.model_extra or {})
