"""The gate: decisions of people about packaged models, and which model they make serve.

A decision is a row of the table `forecast_decisions` in Postgres, schema `ops`; rows are added, never
changed. The number of a decision is one more than that of the last one it has seen, and unique: of two people
who decide at once, the second is refused.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import psycopg
from psycopg.rows import class_row

from forecast.errors import DecisionRefused, ModelAltered, ModelNotFound
from forecast.manifest import FILE, PREFIX, SHORT, Manifest, open_model, read_manifest
from forecast.model_files import Model, hash_file
from forecast.places import find_places, list_models
from millpond.runtime.databases import databases
from millpond.runtime.idle_connections import borrow

UNHARMED: Final = "the model that serves; nothing was recorded"
State = Literal["waiting", "serving", "approved before", "rolled back", "blocked"]
Action = Literal["approve", "rollback"]

_LOCK: Final = 7_262_004_118_350_913
"""Advisory lock held while the table is created."""
_TABLE: Final = """
    create table if not exists forecast_decisions (
        name text not null,
        number integer not null,
        action text not null check (action in ('approve', 'rollback')),
        model text not null,
        manifest text not null,
        decided_by text not null check (decided_by <> ''),
        reason text not null check (reason <> ''),
        at timestamp with time zone not null default now(),
        primary key (name, number)
    )
"""


@dataclass(frozen=True)
class Decision:
    """What a person decided: from then on `model` serves, whose manifest has the SHA-256 `manifest`."""

    name: str
    number: int
    action: Action
    model: str
    manifest: str
    decided_by: str
    reason: str
    at: dt.datetime | None = None

    @property
    def short(self) -> str:
        """The beginning of the model's hash, by which commands name it."""
        return self.model[:SHORT]

    @property
    def shown_at(self) -> str:
        """The time of the decision, to the minute, in UTC."""
        return f"{self.at.astimezone(dt.UTC):%Y-%m-%d %H:%M}" if self.at else ""


def find_model(name: str, start: str) -> Manifest:
    """Return the model whose hash begins with `start`, without opening its files.

    Raises ModelNotFound if it is none or several, and ModelAltered if its manifest was changed.
    """
    given, places = start.removeprefix(PREFIX), find_places(name)
    folders = sorted(places.artifacts.glob(f"{PREFIX}{given[:SHORT]}*")) if given.isalnum() else []
    found = [model for model in map(read_manifest, folders) if model.hash.startswith(given)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(model.short for _, model in list_models(places))
    raise ModelNotFound(
        f"{'several models' if found else 'no model'} of {name} {'have' if found else 'has'} a hash that"
        f" begins with {start!r}",
        unharmed=UNHARMED,
        next_step=f"name one of {known}" if known else "`millpond forecast run` makes the first one",
    )


def read_decisions(name: str) -> list[Decision]:
    """Return the decisions about the models of a configuration, the first one first."""
    with borrow(databases().ops) as connection, connection.cursor(row_factory=class_row(Decision)) as cursor:
        if not _has_table(connection):
            return []
        query = "select * from forecast_decisions where name = %s order by number"
        return cursor.execute(query, (name,)).fetchall()


def list_served(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the approvals that stand, the one that serves last: a rollback takes the last one back."""
    served: list[Decision] = []
    for decision in decisions:
        if decision.action == "approve":
            served.append(decision)
        else:
            served.pop()
    return served


def find_serving(decisions: Sequence[Decision]) -> Decision | None:
    """Return the approval of the model that serves; None if no model was ever approved."""
    served = list_served(decisions)
    return served[-1] if served else None


def find_state(model: Manifest, decisions: Sequence[Decision]) -> State:
    """Return the state of a model."""
    if model.blocked:
        return "blocked"
    served = [decision.model for decision in list_served(decisions)]
    if served and served[-1] == model.hash:
        return "serving"
    if model.hash in served:
        return "approved before"
    return "rolled back" if any(one.model == model.hash for one in decisions) else "waiting"


def approve(name: str, start: str, *, by: str, reason: str) -> Decision:
    """Have the model whose hash begins with `start` serve from now on.

    Raises ModelNotFound; ModelAltered if one of its files is not the one that was packaged; DecisionRefused
    without a name or a reason, for a model that is blocked or serves already, and if another decision was
    recorded meanwhile.
    """
    _require(by, reason)
    decisions = read_decisions(name)
    model = find_model(name, start)
    if model.blocked:
        raise DecisionRefused(
            f"model {model.short} of {name} is blocked: {'; '.join(model.blocked)}",
            unharmed=UNHARMED,
            next_step="improve data or parameters, then `millpond forecast run` makes another model",
        )
    if (serving := find_serving(decisions)) and serving.model == model.hash:
        raise DecisionRefused(
            f"model {model.short} of {name} serves already: {serving.decided_by} approved it on"
            f" {serving.at:%Y-%m-%d}",
            unharmed=UNHARMED,
            next_step=f"`millpond forecast status --config {name}` shows what waits",
        )
    decision = Decision(
        name=name,
        number=_next_number(decisions),
        action="approve",
        model=model.hash,
        manifest=hash_file(find_places(name).artifacts / model.folder / FILE),
        decided_by=by.strip(),
        reason=reason.strip(),
    )
    open_approved(decision)
    return _record(decision)


def roll_back(name: str, *, by: str, reason: str) -> Decision:
    """Have the model that served before serve again.

    Raises DecisionRefused without a name or a reason, without an earlier model, and if another decision was
    recorded meanwhile; ModelAltered if a file of the earlier model is not the one that was packaged.
    """
    _require(by, reason)
    decisions = read_decisions(name)
    served = list_served(decisions)
    if len(served) < 2:
        raise DecisionRefused(
            f"{name} has no earlier model: "
            + (f"{served[0].short} is the first that serves" if served else "none was ever approved"),
            unharmed=UNHARMED,
            next_step="approve another model: `millpond forecast list` shows those that wait",
        )
    decision = replace(
        served[-2],
        number=_next_number(decisions),
        action="rollback",
        decided_by=by.strip(),
        reason=reason.strip(),
    )
    open_approved(decision)
    return _record(decision)


def open_approved(decision: Decision) -> tuple[Manifest, Model]:
    """Return manifest and model that a decision makes serve, after checking each file.

    Raises ModelAltered if a file is missing, or is not the one that was approved.
    """
    folder = find_places(decision.name).artifacts / f"{PREFIX}{decision.short}"
    manifest = read_manifest(folder)
    hashes = {FILE: decision.manifest, **manifest.files}
    altered = [name for name, known in hashes.items() if hash_if_there(folder / name) != known]
    if altered:
        raise ModelAltered(
            f"{folder.name} is refused: {', '.join(altered)} changed since it was packaged or approved",
            unharmed="the forecasts that were made before; nothing of the folder was loaded",
            next_step="restore the folder from a backup, or have the model before serve again: "
            "`millpond forecast rollback --by NAME --reason …`",
        )
    return open_model(folder)


def hash_if_there(file: Path) -> str | None:
    """Return the SHA-256 of a file; None if it does not exist."""
    return hash_file(file) if file.is_file() else None


def _require(by: str, reason: str) -> None:
    missing = [option for option, given in (("--by", by), ("--reason", reason)) if not given.strip()]
    if missing:
        raise DecisionRefused(
            f"a decision needs {' and '.join(missing)}: who decides, and why",
            unharmed=UNHARMED,
            next_step='for example --by ada --reason "better than the naive forecast on four weeks"',
        )


def _next_number(seen: Sequence[Decision]) -> int:
    return seen[-1].number + 1 if seen else 1


def _record(decision: Decision) -> Decision:
    """Add a decision and return it with its time."""
    names = [field.name for field in fields(Decision) if field.name != "at"]
    values = ", ".join(f"%({name})s" for name in names)
    statement = f"insert into forecast_decisions ({', '.join(names)}) values ({values}) returning *"  # noqa: S608
    try:
        with (
            borrow(databases().ops) as connection,
            connection.cursor(row_factory=class_row(Decision)) as cursor,
        ):
            if not _has_table(connection):
                _create_table(connection)
            found = cursor.execute(statement, asdict(decision)).fetchone()
    except psycopg.errors.UniqueViolation:
        raise DecisionRefused(
            f"someone else decided about {decision.name} at the same time; this {decision.action} is void",
            unharmed="what they decided; nothing else was recorded",
            next_step=f"`millpond forecast status --config {decision.name}` shows it",
        ) from None
    assert found
    return found


def _has_table(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute("select to_regclass('forecast_decisions')").fetchone() != (None,)


def _create_table(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute(_TABLE)
