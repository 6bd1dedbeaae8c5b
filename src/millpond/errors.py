"""Every error Millpond raises on purpose: what happened, where, what is unharmed, what to do next."""

from __future__ import annotations

from collections.abc import Mapping


class MillpondError(Exception):
    """Base of all typed errors; its text is written for the person who must act on it.

    `what` says what happened (naming asset and partition where there is one), `unharmed` what still
    stands, `next_step` what to do.
    """

    def __init__(self, what: str, *, unharmed: str = "", next_step: str = "") -> None:
        self.what, self.unharmed, self.next_step = what, unharmed, next_step
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.what]
        if self.unharmed:
            parts.append(f"Unharmed: {self.unharmed}")
        if self.next_step:
            parts.append(f"Next: {self.next_step}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__, self.args)


def advice(text: str) -> tuple[str, str]:
    """Return what is unharmed and what to do next, out of a text that holds errors; several, line by line."""
    lines = list(dict.fromkeys(text.splitlines()))
    return tuple(  # type: ignore[return-value]
        "\n".join(line.removeprefix(mark) for line in lines if line.startswith(mark))
        for mark in ("Unharmed: ", "Next: ")
    )


def _rebuild(cls: type[MillpondError], state: dict[str, object], args: tuple[object, ...]) -> MillpondError:
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = args
    return error


class ConfigError(MillpondError):
    """A setting or a spec is unknown, malformed or contradicts another."""


class NoSourceAddress(ConfigError):
    """A source has no address, and this home was not made by `millpond demo`; nothing was loaded."""


class OriginChanged(ConfigError):
    """A raw table was loaded from another place than the settings name now; nothing was loaded."""


class ZoneChanged(ConfigError):
    """The days of this home were loaded in another time zone than the one that is set; nothing was done."""


class HomeTooNew(ConfigError):
    """A newer Millpond than the one installed here wrote the state of this home; nothing was done."""


class HomeTooOld(ConfigError):
    """The state of this home has to be migrated by `millpond upgrade` first; nothing was done."""


class MigrationFailed(MillpondError):
    """Postgres refused a step that brings a home's state to this release; the step was rolled back."""


class UpgradeRefused(ConfigError):
    """A home in which something works, or a project of a newer release; nothing was changed."""


class BackupRefused(ConfigError):
    """A backup cannot be made in that folder, or not be restored here; nothing was changed."""


class BackupDamaged(MillpondError):
    """A backup lacks a file or has another one than it was made with, or a copy of it is not equal."""


class BackupFailed(MillpondError):
    """A backup could not be completed or restored; the home that it was made of is as it was."""


class PartitionKeyError(MillpondError):
    """A partition key is no date, lies before the start or in the future."""


class QueryRefused(MillpondError):
    """A query is no SQL, names what is not there, or does more than read; nothing was changed."""


class CommandFailed(MillpondError):
    """A command that an agent started through `millpond mcp` failed; the text is the command's."""


class EmbeddedPartError(MillpondError):
    """A server we stand on could not be started, reached or stopped."""


class InstallFailed(MillpondError):
    """Packages of an optional part could not be installed into its environment; the text has the cause."""


class PortTaken(EmbeddedPartError):
    """A port that a setting names is held by another program; nothing was started."""


class ServerUnreachable(EmbeddedPartError):
    """A server of the profile scale (Postgres, S3, Trino) does not answer or refuses; the text names it."""


class AlreadyUp(MillpondError):
    """`millpond up` runs for this home already; nothing was started."""


class NotUp(MillpondError):
    """`millpond up` does not run for this home, so there is nothing to reload."""


class DeployRefused(ConfigError):
    """The project does not load, so automation goes on with what was deployed before."""


class LakeError(MillpondError):
    """Base of what the lake refuses or fails to do."""


class TableNotFound(LakeError):
    """A table is not on the ref it was asked of."""


class RefNotFound(LakeError):
    """No ref has that name."""


class RefExists(LakeError):
    """A branch of that name is there already."""


class RefRefused(LakeError):
    """What was asked for does not go with this ref: it is main, others need it, or main may not hold it."""


class PartitionConflict(LakeError):
    """Another writer changed the same partitions meanwhile; nothing of this write is visible."""


class MergeConflict(LakeError):
    """A branch cannot be merged: its base moved on the same partitions, or in an incompatible way.

    `tables` says for each table that stands in the way why it does, naming the days.
    """

    def __init__(
        self, what: str, *, unharmed: str = "", next_step: str = "", tables: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, unharmed=unharmed, next_step=next_step)
        self.tables = dict(tables or {})


class LockTimeout(LakeError):
    """A table's lock was held by somebody else for longer than this write may wait."""


class SchemaConflict(LakeError):
    """Data does not fit the table's schema and no additive change makes it fit."""


class RowsOutsideWindow(LakeError):
    """A write brought rows that lie outside the window it replaces."""


class StorageFailed(LakeError):
    """The files of a write could not be written: no space, no permission, or a failing disk."""


class OutcomeUnknown(LakeError):
    """The catalog broke off during a commit and could not be asked whether it landed."""


class SourceError(MillpondError):
    """Base of what goes wrong between Millpond and a source."""


class SourceUnreachable(SourceError):
    """No usable answer within the time budget: connection, time-out or repeated server errors."""


class SourceMissing(SourceUnreachable):
    """The folder, bucket or file that an address names is not there; a retry at once cannot help."""


class SourceRefused(SourceError):
    """The source answered 4xx: credentials, address or request are wrong; a retry cannot help."""


class SourceLimited(SourceError):
    """The source asks to wait longer than this installation waits (rate limit)."""


class BreakerOpen(SourceError):
    """A source's host failed several times in a row and is left alone for a while; it was not asked."""


class SourceMalformed(SourceError):
    """The source's answer is not what its protocol says: no JSON, truncated, not a list."""


class PagingLoop(SourceError):
    """The source serves rows it served before instead of the next page."""


class ListingIncomplete(SourceError):
    """It cannot be shown that a listing holds all rows of what was asked, so none of it is taken."""


class FilterIgnored(SourceError):
    """Most rows lie outside the time that was asked for: the source does not filter by it."""


class BeyondReach(SourceError):
    """The source no longer serves this day; what was loaded in time is kept."""


class DayLeftOut(SourceError):
    """The day was wiped, or is older than the retention of its table; the other days are loaded."""


class TooManyBadRows(SourceError):
    """More rows broke the row contract than the spec allows."""


class FieldsMissing(SourceError):
    """Declared fields are in none of the rows, or none of their values is usable: the source has changed."""


class FieldsUnknown(SourceError):
    """Rows have fields that the spec does not name, and the columns of the table are frozen."""


class TimesUnreadable(SourceError):
    """Rows whose time cannot be read may belong to a day that has none, or too few, so it is not loaded."""


class RowsHeldBack(SourceError):
    """A loaded day came back with far fewer rows; they are kept aside until somebody accepts them."""


class NothingHeld(SourceError):
    """Rows were to be accepted for a day of which none are held back."""


class InputMissing(MillpondError):
    """A model reads a table that is not on the ref yet; the asset that makes it comes first."""


class NoRows(SourceError):
    """The source served no row for a day, and the spec says that there must be some."""


class FilesMissing(SourceError):
    """No file is there for a day, and the spec does not say that such a day is one without rows."""


class RowsUnaccounted(SourceError):
    """Fewer or more rows were judged than the source served; a defect of Millpond, so nothing is written."""


class BuildFailed(MillpondError):
    """dbt could not build a model, or a blocking check failed; nothing was published."""


class PublishFailed(MillpondError):
    """A mart could not be published; the mart that readers see is the one from before."""


class QueueUnreachable(MillpondError):
    """The queue of requests did not answer, or refused; its messages stay where they are."""


class MartsHeld(PublishFailed):
    """Others held locks on the marts for longer than a publish waits."""


class AlertNotSent(MillpondError):
    """A channel did not take an alert, which is tried again; the log has it.

    `retry_after` is how many seconds it asks to wait; with `uncertain` it may have taken the alert after all.
    """

    def __init__(
        self,
        what: str,
        *,
        unharmed: str = "",
        next_step: str = "",
        retry_after: float | None = None,
        uncertain: bool = False,
    ) -> None:
        super().__init__(what, unharmed=unharmed, next_step=next_step)
        self.retry_after, self.uncertain = retry_after, uncertain


class BackfillOverlap(MillpondError):
    """A living backfill is to make some of the same partitions; nothing was begun."""


class BackfillNotFound(MillpondError):
    """No backfill has that id, or none is unfinished."""


class BackfillChanged(MillpondError):
    """Code or range are not those that an interrupted backfill was begun with; nothing was resumed."""
