"""The `Link` header as RFC 8288 has it: addresses may hold commas and semicolons, titles anything."""

from __future__ import annotations

import re
from typing import Final

from requests import Response
from requests.utils import parse_header_links

_VALUE: Final = r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s;,"']+))"""
_PARAMETER: Final = re.compile(rf";\s*([^\s=;,<>\"]+)\s*=\s*{_VALUE}")
_LINK: Final = re.compile(rf"<([^<>]*)>((?:\s*;(?:\s*[^\s=;,<>\"]+(?:\s*=\s*{_VALUE})?)?)*)")
_NEXT: Final = re.compile(r"rel\b\W*[^<>;,]*\bnext\b", re.IGNORECASE)


def link_relations(response: Response) -> dict[str, str]:
    """Return the addresses of the `Link` header by relation, in small letters; a link may have several."""
    found: dict[str, str] = {}
    for address, relations in _links(response.headers.get("Link", "")):
        for each in relations.lower().split():
            found.setdefault(each.rpartition("/relation/")[2], address)
    return found


def hides_next(response: Response) -> bool:
    """Return whether the `Link` header speaks of a next page in a form that nobody can read."""
    text = response.headers.get("Link", "")
    return bool(_NEXT.search(text)) and not link_relations(response).get("next")


def _links(text: str) -> list[tuple[str, str]]:
    """Return each link's address and relations."""
    if "<" not in text:  # which servers leave out that nobody has read before
        links = parse_header_links(text)
        return [
            (each["url"], value) for each in links for name, value in each.items() if name.lower() == "rel"
        ]
    return [
        (link[1].strip(), next(filter(None, said[2:]), ""))
        for link in _LINK.finditer(text)
        for said in ([m[0], *m.groups()] for m in _PARAMETER.finditer(link[2]))
        if said[1].lower() == "rel"
    ]
