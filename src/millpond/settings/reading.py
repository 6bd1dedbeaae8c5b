"""Reads the settings of this process, and names an invalid variable."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from millpond.errors import ConfigError
from millpond.redaction import redacted, register, register_address
from millpond.settings.model import Settings
from millpond.settings.sources import SourceSettings
from millpond.settings.variables import (
    DEPLOYED,
    PREFIX,
    find_root,
    read_layers,
    restore_environment,
    source_names,
    variable,
)

_log = logging.getLogger(__name__)
_SECRET = (
    *("token", "webhook", "password", "pagerduty_key", "apprise", "access_key", "secret_key"),
    "heartbeat_url",
)
"""Parts of the names of settings whose value is never shown."""


@lru_cache(1)
def settings() -> Settings:
    """Return the settings of this process, read once.

    Raises ConfigError naming the variable, what is wrong and an example.
    """
    return read_settings()


def read_settings(*new_sources: str) -> Settings:
    """Read the settings again, see `settings`, and register their secrets for redaction.

    `new_sources` are those that no file declares yet.
    """
    restore_environment()
    project = find_root()
    found = _variables(project)
    # The sources of the project and of its deployment may differ.
    names = sorted(
        {*source_names(project), *source_names(Path(os.environ.get(DEPLOYED) or project))} | {*new_sources}
    )
    _refuse_unknown(found, names)
    try:
        general = {f: found[variable(f)] for f in Settings.model_fields if variable(f) in found}
        read = Settings.model_validate({**general, "sources": _source_values(found, names)})
    except ValidationError as error:
        raise ConfigError(*_first_problem(error)[:1], next_step=_first_problem(error)[1]) from None
    for part in (read, *read.sources.values()):
        _register_secrets(part)
    return read


def _register_secrets(part: BaseModel) -> None:
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, SecretStr):
            text = value.get_secret_value()
            for secret in text.split() if "://" in text else [text]:
                register(secret)
                register_address(secret)
        elif isinstance(value, str):
            register_address(value)


def origins() -> dict[str, str]:
    """Return the origin of each variable that is set: `environment`, `secrets` or `.env`."""
    found: dict[str, str] = {}
    for origin, values in read_layers(settings().project).items():
        found |= dict.fromkeys(values, origin)
    return found


def use_deployed(folder: Path) -> None:
    """Have this process and its children use a deployed copy of the project."""
    os.environ[DEPLOYED] = str(folder)
    settings.cache_clear()


def _variables(project: Path) -> dict[str, str]:
    return {name: value for values in read_layers(project).values() for name, value in values.items()}


def _source_values(found: Mapping[str, str], names: list[str]) -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, Any]] = {}
    for name in names:
        for field in SourceSettings.model_fields:
            if value := found.get(variable(field, name)):
                values.setdefault(name, {})[field] = value
    return values


def _refuse_unknown(found: Mapping[str, str], names: list[str]) -> None:
    """Raise ConfigError for an unknown variable; warn of one of a source that no file declares."""
    general = {variable(f) for f in Settings.model_fields if f != "sources"}
    of_sources = {variable(f, n) for n in names for f in SourceSettings.model_fields}
    known = general | of_sources
    for name in sorted(set(found) - known):
        source, _, field = name.removeprefix(PREFIX).rpartition("_")
        if source and field.lower() in SourceSettings.model_fields and not _nearly(name, general):
            near = difflib.get_close_matches(name, sorted(of_sources), n=1, cutoff=0.9)
            _log.warning(
                "%s is ignored: no file in sources/ declares a source %s%s",
                name,
                source.lower(),
                f"; did you mean {near[0]}?" if near else "",
            )
            continue
        near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
        raise ConfigError(
            f"unknown setting {name}",
            next_step=(f"did you mean {' or '.join(near)}? " if near else "")
            + "`millpond config show` lists every setting; .env.example documents them",
        )


def _nearly(name: str, known: Collection[str]) -> bool:
    return bool(difflib.get_close_matches(name, known, n=1, cutoff=0.85))


def _first_problem(error: ValidationError) -> tuple[str, str]:
    problem = error.errors(include_url=False)[0]
    where = [str(part) for part in problem["loc"]]
    reason = problem["msg"].removeprefix("Value error, ")
    if not where:
        return reason, "change one of them"
    if where[0] == "sources":
        name, help_ = variable(where[2], where[1]), SourceSettings.model_fields[where[2]].description
    else:
        name, help_ = variable(where[0]), Settings.model_fields[where[0]].description
    given = _without_account(problem["input"])
    given = redacted(given if given.isprintable() else repr(given))
    secret = any(word in name.lower() for word in _SECRET)
    shown = " cannot be used" if secret else f" = {given}"  # text after "NAME: " would look like the value
    return f"{name}{shown}: {reason}", f"set {name}: {help_}"


def _without_account(value: object) -> str:
    """Return `value` without the user and password of an address."""
    return re.sub(r"//[^/\s]*@", "//", str(value))
