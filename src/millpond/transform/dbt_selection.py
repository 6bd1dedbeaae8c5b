"""dbt's own selection syntax, resolved by dbt: which assets `--dbt-select` means."""

from __future__ import annotations

from typing import Any

import orjson

from millpond.errors import ConfigError
from millpond.runtime.companion import call
from millpond.settings import settings
from millpond.transform import engine
from millpond.transform.invocation import invoke
from millpond.transform.manifest import current


def select_assets(select: str, exclude: str | None) -> list[str]:
    """Return the asset keys of what dbt's `--select` and `--exclude` choose, in a companion if there is one.

    Raises ConfigError with dbt's message for what cannot be read, and for what chooses no asset.
    """
    found: list[str] = call("millpond.transform.dbt_selection:list_assets", select, exclude)
    return found


def list_assets(select: str, exclude: str | None) -> list[str]:
    """Do what `select_assets` does, in this process."""
    configured = settings()
    parsed = current(configured)
    said: list[str] = []
    command = [
        "ls",
        "--output=json",
        "--output-keys=unique_id",
        "--no-write-json",
        "--select",
        *select.split(),
    ]
    if exclude:
        command += ["--exclude", *exclude.split()]
    ran = invoke(
        command,
        settings=configured,
        target=engine.of(configured).target,
        manifest=parsed.warm(),
        on_event=lambda event: _note(event, said),
    )
    if not ran.success:
        raise ConfigError(
            f"dbt cannot select {select!r}: {ran.exception}",
            next_step="write it as for `dbt ls --select`, for example tag:nightly or +fct_glucose_readings",
        )
    listed: Any = ran.result
    chosen = {orjson.loads(line)["unique_id"] for line in listed or ()}
    every = parsed.models().values()
    keys = [model.key for model in every if model.unique_id in chosen and not model.refused]
    if not keys:
        more = "".join(f"; dbt: {line}" for line in said)
        raise ConfigError(
            f"dbt's selection {select!r} chooses no asset{more}",
            next_step=f"choose among {', '.join(sorted(model.key for model in every))}",
        )
    return keys


def _note(event: Any, said: list[str]) -> None:
    """Keep what dbt warns of: a selection that matches nothing is no error to it."""
    if event.info.level == "warn" and event.info.msg not in said:
        said.append(event.info.msg)
