"""A client's changes of a view: what they require, and the metadata that they lead to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.schema import Schema

from millpond.internals.pyiceberg import ViewVersion

Metadata = dict[str, Any]

_LAST_ADDED = -1
_FORMAT = 1
_VERSIONS_KEPT = ("version.history.num-entries", 10)
_MAY_LOSE_DIALECTS = "replace.drop-dialect.allowed"
_COMPARED = ("summary", "representations", "default-catalog", "default-namespace", "schema-id")


class InvalidView(ValueError):
    """The changes contradict the view, or leave it without a valid version."""


def check_requirements(requirements: Iterable[Mapping[str, Any]], now: Metadata) -> None:
    """Raise CommitFailedException unless the view is the one that the client expects."""
    for requirement in requirements:
        if requirement["type"] != "assert-view-uuid":
            raise InvalidView(f"{requirement['type']} cannot be required of a view")
        if requirement["uuid"] != now["view-uuid"]:
            raise CommitFailedException(
                "Requirement failed: view UUID does not match:"
                f" expected {now['view-uuid']} != {requirement['uuid']}"
            )


def apply_updates(base: Metadata, updates: Sequence[Mapping[str, Any]]) -> Metadata:
    """Return the metadata of a view after `updates`; `base` is not changed.

    For a new view, `base` has its location and uuid only. Raises InvalidView if they contradict it.
    """
    builder = _Builder(base)
    for update in updates:
        builder.apply(update)
    return builder.build()


class _Builder:
    def __init__(self, base: Metadata) -> None:
        self._base = base
        self._new: Metadata = {
            "format-version": _FORMAT,
            "schemas": [],
            "versions": [],
            "version-log": [],
            "properties": {},
            **base,
        }
        for name in ("schemas", "versions", "version-log", "properties"):
            self._new[name] = self._new[name].copy()
        self._added_schema: int | None = None
        self._added_version: int | None = None
        self._added: set[int] = set()

    def apply(self, update: Mapping[str, Any]) -> None:
        match update["action"]:
            case "assign-uuid":
                if self._base.get("current-version-id") and update["uuid"] != self._new["view-uuid"]:
                    raise InvalidView("Cannot reassign uuid")
                self._new["view-uuid"] = update["uuid"]
            case "upgrade-format-version":
                if update["format-version"] != _FORMAT:
                    raise InvalidView(f"there is no version {update['format-version']} of the view format")
            case "set-location":
                self._new["location"] = str(update["location"])
            case "set-properties":
                self._new["properties"] |= {str(k): str(v) for k, v in update["updates"].items()}
            case "remove-properties":
                for name in update["removals"]:
                    self._new["properties"].pop(name, None)
            case "add-schema":
                self._add_schema(update["schema"])
            case "add-view-version":
                self._add_version(update["view-version"])
            case "set-current-view-version":
                self._set_current(int(update["view-version-id"]))
            case other:
                raise InvalidView(f"{other} is not a change of a view")

    def build(self) -> Metadata:
        if "current-version-id" not in self._new:
            raise InvalidView("Invalid view: no versions were added")
        self._refuse_lost_dialects()
        self._expire()
        return self._new

    def _add_schema(self, given: Mapping[str, Any]) -> None:
        new = Schema.model_validate(given)
        for known in self._new["schemas"]:
            if Schema.model_validate(known) == new:
                self._added_schema = int(known["schema-id"])
                return
        number = max((s["schema-id"] for s in self._new["schemas"]), default=-1) + 1
        self._new["schemas"].append({**given, "schema-id": number})
        self._added_schema = number

    def _add_version(self, given: Mapping[str, Any]) -> None:
        ViewVersion.model_validate(given)
        version = dict(given)
        if version["schema-id"] == _LAST_ADDED:
            if self._added_schema is None:
                raise InvalidView("Cannot set last added schema: no schema has been added")
            version["schema-id"] = self._added_schema
        if version["schema-id"] not in {s["schema-id"] for s in self._new["schemas"]}:
            raise InvalidView(f"Cannot add version with unknown schema: {version['schema-id']}")
        dialects = _list_dialects(version)
        if twice := sorted({d for d in dialects if dialects.count(d) > 1}):
            raise InvalidView(f"Invalid view version: Cannot add multiple queries for dialect {twice[0]}")
        for known in self._new["versions"]:
            if all(known.get(name) == version.get(name) for name in _COMPARED):
                self._added_version = known["version-id"]
                return
        highest = max((v["version-id"] for v in self._new["versions"]), default=0)
        version["version-id"] = max(highest + 1, int(version["version-id"]))
        self._new["versions"].append(version)
        self._added_version = version["version-id"]
        self._added.add(version["version-id"])

    def _set_current(self, number: int) -> None:
        if number == _LAST_ADDED:
            if self._added_version is None:
                raise InvalidView("Cannot set last version id: no current version id has been set")
            number = self._added_version
        found = [v for v in self._new["versions"] if v["version-id"] == number]
        if not found:
            raise InvalidView(f"Cannot set current version to unknown version: {number}")
        if self._new.get("current-version-id") == number:
            return
        self._new["current-version-id"] = number
        at = found[0]["timestamp-ms"] if number in self._added else round(time.time() * 1000)
        self._new["version-log"].append({"timestamp-ms": at, "version-id": number})

    def _refuse_lost_dialects(self) -> None:
        if self._new["properties"].get(_MAY_LOSE_DIALECTS, "false").lower() == "true":
            return
        before, after = (_list_dialects(_find_current(m)) for m in (self._base, self._new))
        if not set(before) <= set(after):
            raise InvalidView(
                f"Cannot replace view due to loss of view dialects ({_MAY_LOSE_DIALECTS}=false):\n"
                f"Previous dialects: {sorted(before)}\nNew dialects: {sorted(after)}"
            )

    def _expire(self) -> None:
        name, default = _VERSIONS_KEPT
        wanted = int(self._new["properties"].get(name, default))
        if wanted <= 0:
            raise InvalidView(f"{name} must be positive but was {wanted}")
        current = self._new["current-version-id"]
        most = max(wanted, len(self._added | {current}))
        by_age = sorted((v["version-id"] for v in self._new["versions"]), reverse=True)
        kept = {current, *[n for n in by_age if n != current][: most - 1]}
        self._new["versions"] = [v for v in self._new["versions"] if v["version-id"] in kept]
        log = self._new["version-log"]
        lost = [at for at, entry in enumerate(log) if entry["version-id"] not in kept]
        self._new["version-log"] = log[lost[-1] + 1 :] if lost else log


def _find_current(metadata: Metadata) -> Mapping[str, Any]:
    current = metadata.get("current-version-id")
    return next((v for v in metadata.get("versions", ()) if v["version-id"] == current), {})


def _list_dialects(version: Mapping[str, Any]) -> list[str]:
    return [str(r["dialect"]).lower() for r in version.get("representations", ()) if r.get("type") == "sql"]
