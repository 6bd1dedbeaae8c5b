"""The address of a new source as it was typed: paths below the project, credentials apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from millpond.settings import Settings


Account = tuple[str | None, str | None]


def place_address(
    name: str, kind: str, url: str | None, configured: Settings
) -> tuple[str | None, Account, Settings]:
    """Return the address without account and password, these, and the settings that know all three.

    Without `url` it is the one that is set. A path is taken from the current folder, and returned as one
    below the project where it lies there.
    """
    from millpond import redaction
    from millpond.ingestion.inspection.inspect import with_address

    url = url or configured.source(name).url
    if not url:
        return None, (None, None), configured
    if kind == "file" and "://" not in url:
        url = _below(url, configured.project)
    for scheme in ("sqlite:///", "duckdb:///"):
        if url.startswith(scheme) and not url.startswith(f"{scheme}/"):
            url = scheme + _below(url.removeprefix(scheme), configured.project).removeprefix("./")
    user = token = None
    if "://" in url and "@" in url:
        parts = urlsplit(url)
        user, token = (unquote(each) if each else None for each in (parts.username, parts.password))
        redaction.register(token)
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url, (user, token), with_address(configured, name, url, token, user)


def _below(path: str, project: Path) -> str:
    there = Path(os.path.abspath(Path(path).expanduser()))
    return f"./{there.relative_to(project)}" if there.is_relative_to(project) else str(there)
