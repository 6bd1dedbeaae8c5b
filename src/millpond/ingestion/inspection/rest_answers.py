"""Single requests to a REST source that nobody has described yet, and the rows in their answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from requests import Response

from millpond.errors import SourceError, SourceMalformed, SourceRefused
from millpond.ingestion.reader import PROBE_SECONDS
from millpond.ingestion.rest.auth import static_auth
from millpond.ingestion.rest.http import SourceSession
from millpond.ingestion.rest.placeholders import Values, fill
from millpond.ingestion.rest.selection import parse_json
from millpond.ingestion.retry import Gate, Limits

_DEEP: Final = 4
AUTHS: Final[tuple[Mapping[str, str], ...]] = (
    {"type": "bearer", "token": "{token}"},
    {"type": "api_key", "name": "X-Api-Key", "api_key": "{token}"},
    {"type": "api_key", "name": "api_key", "api_key": "{token}", "location": "query"},
)
"""Credentials that are tried where a token is set and the source refuses."""


@dataclass(frozen=True)
class Answer:
    """An answer, where in it the rows are, and the rows."""

    response: Response
    selector: str
    rows: list[dict[str, Any]]
    single_object: bool = False


@dataclass
class Client:
    """Requests one path of a source; `auth` is what it takes, found by `connect`."""

    name: str
    base_url: str
    path: str
    params: Mapping[str, str]
    values: Values
    limits: Limits
    auth: Mapping[str, str] | None = None
    requests: int = 0

    def connect(self) -> Answer:
        """Return the first answer, with the credential that the source takes; raises a SourceError."""
        tried: list[Mapping[str, str] | None] = [None]
        if self.values.get("token"):
            tried = [*AUTHS, None]
            if self.values.get("user"):
                basic = {"type": "http_basic", "username": "{user}", "password": "{token}"}
                tried.insert(0, basic)
        if self.auth:
            tried = [self.auth]
        refused: SourceError | None = None
        for self.auth in tried:
            try:
                return self.get()
            except SourceRefused as error:
                if "HTTP 401" not in error.what and "HTTP 403" not in error.what:
                    raise
                refused = refused or error
        assert refused
        raise refused

    def get(self, **params: str) -> Answer:
        """Return the answer to a request with `params` besides those of all; raises a SourceError."""
        limits = self.limits.of_one_try(PROBE_SECONDS)
        self.requests += 1

        def decode(body: bytes | None) -> Any:
            return parse_json(body.strip()) if body else []

        with SourceSession(self.name, self.base_url, decode, limits, Gate()) as session:
            response = session.get(
                f"{self.base_url.rstrip('/')}/{self.path}",
                params={**self.params, **params},
                auth=static_auth(fill(self.auth, self.values) if self.auth else None),
            )
        if not hasattr(response, "page"):
            raise SourceRefused(
                f"the answer with HTTP {response.status_code} leads nowhere", next_step="check the address"
            )
        return find_rows(response, response.page)

    def try_get(self, **params: str) -> Answer | None:
        """Return the answer as `get` does; None where the source refuses or answers something else."""
        try:
            return self.get(**params)
        except (SourceRefused, SourceMalformed):
            return None


def find_rows(response: Response, document: Any) -> Answer:
    """Return the answer with its longest list of objects; an object without one is the only row.

    Raises SourceMalformed where there is neither.
    """
    lists = sorted(_lists(document, [], _DEEP), key=lambda found: -len(found[1]))
    full = [found for found in lists if found[1]]
    if full or lists:
        way, rows = (full or lists)[0]
        inner = {tuple(row) for row in rows}
        if inner == {("node",)} and all(isinstance(row["node"], dict) for row in rows):
            return Answer(response, f"{_selector(way)}[*].node", [row["node"] for row in rows])
        return Answer(response, _selector(way), rows)
    if isinstance(document, dict):
        return Answer(response, "$", [document], single_object=True)
    raise SourceMalformed(
        "the answer has no list of objects",
        unharmed="everything; nothing was written",
        next_step="see what the address answers, and give the endpoint's path by --path",
    )


def _lists(node: Any, way: list[str], depth: int) -> Iterator[tuple[list[str], list[Any]]]:
    if isinstance(node, list):
        if all(isinstance(each, dict) for each in node):
            yield way, node
    elif isinstance(node, dict) and depth:
        for name, value in node.items():
            yield from _lists(value, [*way, name], depth - 1)


def _selector(way: Sequence[str]) -> str:
    names = [
        name if name.replace("_", "a").isalnum() and not name[:1].isdigit() else f"'{name}'" for name in way
    ]
    return ".".join(names) or "$"
