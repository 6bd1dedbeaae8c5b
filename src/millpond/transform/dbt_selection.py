"""dbt's own selection syntax, resolved by dbt: which assets `--dbt-select` means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from millpond.errors import ConfigError
from millpond.runtime.companion import call
from millpond.settings import settings
from millpond.transform import engine
from millpond.transform.invocation import invoke
from millpond.transform.manifest import ParsedProject, load_project

_COMPARING = re.compile(r"(?:^|[\s,+@])(result|state|source_status)(?:\.\w+)*:")
_SELECTOR = re.compile(r"selector:(\w+)")
_SHOWN = 5


@dataclass(frozen=True)
class Selection:
    """What a selection chooses: asset keys, and by unique_id why other models are left out."""

    keys: list[str]
    refused: dict[str, str]


def select_assets(select: str, exclude: str | None) -> Selection:
    """Return what dbt's `--select` and `--exclude` choose, in a companion if there is one.

    Raises ConfigError with dbt's message for an invalid selection, and for one that chooses no asset.
    """
    found: Selection = call("millpond.transform.dbt_selection:list_assets", select, exclude)
    return found


def list_assets(select: str, exclude: str | None) -> Selection:
    """Do what `select_assets` does, in this process."""
    _refuse_comparing(select, exclude or "")
    configured = settings()
    parsed = load_project(configured)
    warnings: list[str] = []
    command = ["ls", "--output=json", "--output-keys=unique_id", "--no-write-json"]
    selector = _SELECTOR.fullmatch(select.strip())
    command += ["--selector", selector[1]] if selector else ["--select", *select.split()]
    if exclude:
        command += ["--exclude", *exclude.split()]
    if selector and exclude:
        raise ConfigError(
            f"dbt does not combine --exclude with {select}", next_step="put it into the selector"
        )
    chosen: set[str] = set()
    for part in _find_parts_with(parsed, selector[1]) if selector else parsed.parts:
        ran = invoke(
            command,
            settings=configured,
            target=engine.get_engine(configured).target,
            project=part.project,
            manifest=part.load_manifest(),
            on_event=lambda event: _keep_warning(event, warnings),
        )
        if not ran.success:
            raise ConfigError(
                f"dbt cannot select {select!r}: {ran.exception}",
                next_step="write it as for `dbt ls --select`, for example tag:nightly or +dim_date",
            )
        listed: Any = ran.result
        chosen |= {orjson.loads(line)["unique_id"] for line in listed or ()}
    every = parsed.models().values()
    keys = [model.key for model in every if model.unique_id in chosen and not model.refused]
    refused = {m.unique_id: m.refused for m in every if m.unique_id in chosen and m.refused}
    if not keys:
        warnings += [f"{unique_id} is refused: {reason}" for unique_id, reason in refused.items()]
        if others := sorted(chosen - refused.keys()):
            raise ConfigError(
                f"dbt's selection {select!r} chooses no assets, only {', '.join(others[:_SHOWN])}"
                + (", …" if others[_SHOWN:] else ""),
                next_step=f"choose the models that read them, `{select}+`, or that they read, `1+{select}`",
            )
        raise ConfigError(
            f"dbt's selection {select!r} chooses no asset" + "".join(f"; {line}" for line in warnings),
            next_step=f"choose among {', '.join(sorted(model.key for model in every if not model.refused))}",
        )
    return Selection(keys, refused)


def _find_parts_with(parsed: ParsedProject, selector: str) -> list[ParsedProject]:
    """Return the projects whose `selectors.yml` has a selector."""
    known = {name for part in parsed.parts for name in part.document()["selectors"]}
    if selector not in known:
        raise ConfigError(
            f"there is no selector {selector} in a selectors.yml",
            next_step=f"choose among {', '.join(sorted(known))}"
            if known
            else "write one, or select in words",
        )
    return [part for part in parsed.parts if selector in part.document()["selectors"]]


def _refuse_comparing(*selections: str) -> None:
    """Raise ConfigError for methods that compare with an earlier run of dbt, and for an empty selection."""
    for method in _COMPARING.findall(" ".join(selections)):
        raise ConfigError(
            f"dbt's method {method} compares with an earlier run of dbt, whose files Millpond does not keep",
            next_step="`millpond backfill --help` says how to build what changed or failed since",
        )
    if not selections[0].strip():
        raise ConfigError(
            "the selection of dbt is empty",
            next_step="write it as for `dbt ls --select`, for example tag:nightly or +fct_glucose_readings",
        )


def _keep_warning(event: Any, warnings: list[str]) -> None:
    """Keep dbt's warnings: a selection that matches nothing is not an error."""
    if event.info.level == "warn" and (line := f"dbt: {event.info.msg}") not in warnings:
        warnings.append(line)
