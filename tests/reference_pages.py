"""The pages of docs/reference that are made from code; run as a program, it writes them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from documented import ROOT, commands
from millpond import errors
from millpond.alerts.kinds import KINDS
from millpond.alerts.routing import Match, Route, Routing
from millpond.settings import PREFIX, Settings
from millpond.settings.sources import SourceSettings
from source_reference import sources_page

FOLDER = ROOT / "docs" / "reference"
_OF_ALERTS = {
    "match": "which alerts the route is for; default: all",
    "to": "channels that get them",
    "continue": "whether the next routes apply too",
    "kind": "kinds",
    "severity": "severities",
    "asset": "keys of assets",
    "owner": "owners of assets",
    "tag": "tags of assets",
    "between": "time of day in the configured zone, such as `22:00-07:00`",
    "routes": "the first route that matches an alert decides",
    "fallback": "channels for alerts after `fallback_after` failed attempts, or errors without one",
    "fallback_after": "attempts, by severity",
    "group_from": "alerts of one kind that are due together and become one digest",
    "messages_a_minute": "messages that a channel gets at most",
    "messages_at_once": "messages that a channel gets at once at most",
    "first_pause_seconds": "pause after the first failed attempt; it grows with each",
    "longest_pause_seconds": "longest pause",
    "give_up_after_days": "days after which a delivery is abandoned",
    "quarantine_above": "share of a load's rows in quarantine that raises `quarantine`",
    "late_after_days": "days back that are checked for `partition_late`; 0 checks none",
    "published_by": "time of day by which marts hold yesterday, else `not_published`",
    "summary_at": "time of day of `success_summary`",
    "summary_report": "whether e-mail with the summary has the page of `millpond report` attached",
}
_SECTION = re.compile(r"^# --- (.+?) -+$")
_TAG = re.compile(r"`[^`]*`|<(?=\w)")
_SETTING = re.compile(rf"^#? ?{PREFIX}(\w+)=")


def settings_page() -> Iterator[str]:
    """Yield the settings in the sections and the order of `.env.example`, with default and meaning."""
    yield "# Settings"
    yield (
        "Settings are read from the environment, then from the files of `MILLPOND_SECRETS_DIR`, then from "
        "`.env` in the project. `millpond config show` prints what is in force and where it comes from; "
        "`.env.example` has the same settings with an example each."
    )
    rows: list[str] = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if section := _SECTION.match(line):
            yield _table(("setting", "default", "meaning"), rows)
            rows = []
            yield f"## {section[1]}"
        elif (found := _SETTING.match(line)) and (field := Settings.model_fields.get(found[1].lower())):
            rows.append(_row(f"`{PREFIX}{found[1]}`", _default(field), field.description or ""))
        elif found and found[1].endswith("_URL"):
            rows.extend(_source_rows())
    yield _table(("setting", "default", "meaning"), list(dict.fromkeys(rows)))


def _source_rows() -> list[str]:
    return [
        _row(f"`{PREFIX}<SOURCE>_{name.upper()}`", _default(field), field.description or "")
        for name, field in SourceSettings.model_fields.items()
    ]


def commands_page() -> Iterator[str]:
    """Yield each command with its help, arguments, options and examples."""
    yield "# Commands"
    yield (
        "Exit codes: 0 done, 1 failed, 2 wrong usage or refused, 130 interrupted by Ctrl-C. "
        "The option `--help` of a command prints the same text."
    )
    for name, command in sorted(commands()):
        yield f"## millpond {name}"
        text, *examples = re.split(r"\n\s*Examples?:\s*", inspect.cleandoc(command.help or ""), maxsplit=1)
        yield _prose(text)
        rows = [_parameter(each) for each in command.params if each.name != "help" and not _hidden(each)]
        yield _table(("argument or option", "default", "meaning"), rows)
        if examples:
            lines = [line.strip() for line in examples[0].replace("\b", "").splitlines()]
            yield "\n".join(["```text", *filter(None, lines), "```"])


def _hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False)) or parameter.name.endswith("_completion")


def _parameter(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    options = [f"`{name}`" for name in names if name.startswith("-")]
    shown = ", ".join(options or [f"`{parameter.metavar or parameter.name.upper()}`"])
    default = parameter.default
    given = default not in (None, False, (), "") and not callable(default) and "Sentinel" not in repr(default)
    value = f"`{default.value if isinstance(default, Enum) else default}`" if given else "–"
    return _row(shown, "required" if parameter.required else value, getattr(parameter, "help", "") or "")


def alerts_page() -> Iterator[str]:
    """Yield each kind of alert with its severity and what it says."""
    yield "# Alerts"
    yield (
        "Every kind of alert, as `kind` and `severity` match it in `alerts.yaml`. An alert that stays open "
        "ends when what it is about works again, or with `millpond alerts close ID`; the others only inform. "
        "The [runbook](../runbook.md) has an entry for each."
    )
    rows = [
        _row(
            f"[`{kind.name}`](../runbook.md#{kind.name})",
            kind.severity,
            "yes" if kind.lasts else "no",
            kind.unharmed,
        )
        for kind in KINDS.values()
    ]
    yield _table(("kind", "severity", "stays open", "unharmed"), rows)
    yield "## alerts.yaml"
    yield from _keys(Routing)
    yield "### A route"
    yield from _keys(Route)
    yield "### `match` of a route"
    yield "Each takes a pattern (`*` and `?`) or a list of patterns."
    yield from _keys(Match)


def _keys(model: type[BaseModel]) -> Iterator[str]:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    rows = [
        _row(f"`{name}`", "required" if field.is_required() else _default(field), _OF_ALERTS[name])
        for name, field in fields.items()
    ]
    yield _table(("key", "default", "meaning"), rows)


def errors_page() -> Iterator[str]:
    """Yield each error that Millpond raises, below the one that it is a kind of."""
    yield "# Errors"
    yield (
        "Every error says what happened, what is unharmed and what to do next. With `--json` it is a JSON "
        "object on standard error whose `type` is one of these names."
    )
    yield from _errors_below(errors.MillpondError)


def _errors_below(base: type[errors.MillpondError]) -> Iterator[str]:
    below = _kinds_of(base)
    leaves = [each for each in below if not _kinds_of(each)]
    yield _table(("type", "means"), [_row(f"`{each.__name__}`", _summary(each)) for each in leaves])
    for each in below:
        if each not in leaves:
            yield f"## {each.__name__}"
            yield _summary(each)
            yield from _errors_below(each)


def _kinds_of(base: type) -> list[type[errors.MillpondError]]:
    return [each for each in vars(errors).values() if isinstance(each, type) and base in each.__bases__]


def _summary(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def dbt_page() -> Iterator[str]:
    """Yield each feature of dbt with what becomes of it, from the projects that show it."""
    yield "# dbt features"
    yield (
        "What each feature of dbt becomes in Dagster and in the lake. Each line is shown by a small dbt "
        "project or a test in `tests/dbt`. [Model with dbt](../dbt.md) says how to bring a project."
    )
    features = yaml.safe_load((ROOT / "tests" / "dbt" / "corpus" / "rows.yml").read_text())
    yield _table(("feature", "in Millpond"), [_row(name, found["means"]) for name, found in features.items()])


def keys_page() -> Iterator[str]:
    """Yield each key of a source with default, meaning and example, then whole sources."""
    for part in sources_page():
        if isinstance(part, str):
            yield part
            continue
        heading, columns, rows = part
        yield heading
        yield _table(columns, [_row(*cells) for cells in rows])


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "sources.md": keys_page,
    "alerts.md": alerts_page,
    "errors.md": errors_page,
    "dbt.md": dbt_page,
}


def page(name: str) -> str:
    """Return the text of a page, with a newline at its end."""
    return "\n\n".join(filter(None, PAGES[name]())) + "\n"


def _table(columns: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([_row(*columns), "|" + "---|" * len(columns), *rows]) if rows else ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(_prose(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _prose(text: str) -> str:
    """Return a text as Markdown, a line for each paragraph, in which nothing is taken for HTML."""
    paragraphs = (" ".join(part.split()) for part in text.replace("\b", "").split("\n\n"))
    return _TAG.sub(lambda found: found[0] if len(found[0]) > 1 else "&lt;", "\n\n".join(paragraphs))


def _default(field: FieldInfo) -> str:
    value = None if field.default_factory else field.default
    match value:
        case None | BaseModel() | ():
            return "–"
        case (BaseModel(), *_):
            return "every alert to each channel"
        case bool():
            return f"`{str(value).lower()}`"
        case Path():
            return f"`{value.as_posix()}`"
        case Enum():
            return f"`{value.value}`"
    return f"`{value}`"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(page(name))
