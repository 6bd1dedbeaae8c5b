"""A client's changes of a table: what they require, and the metadata that they lead to.

PyIceberg applies them; here ids that two clients gave to different things are made distinct first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AssertCreate, TableRequirement, TableUpdate

from millpond.internals.pyiceberg import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AddSortOrderUpdate,
    AssertCurrentSchemaId,
    AssertDefaultSortOrderId,
    AssertDefaultSpecId,
    AssertLastAssignedFieldId,
    AssertLastAssignedPartitionId,
    AssertTableUUID,
    RemovePropertiesUpdate,
    SetCurrentSchemaUpdate,
    SetDefaultSortOrderUpdate,
    SetDefaultSpecUpdate,
    TableMetadataUtil,
    UpgradeFormatVersionUpdate,
    empty_table_metadata,
    update_table_metadata,
)

_LAST_ADDED = -1
_ROW_LINEAGE = 3
"""The first version of the table format with row ids; PyIceberg applies the changes of earlier ones."""

_IDS: tuple[tuple[type[Any], str, str, str], ...] = (
    (AssertLastAssignedFieldId, "last assigned field id", "last_assigned_field_id", "last_column_id"),
    (AssertCurrentSchemaId, "current schema", "current_schema_id", "current_schema_id"),
    (
        AssertLastAssignedPartitionId,
        "last assigned partition id",
        "last_assigned_partition_id",
        "last_partition_id",
    ),
    (AssertDefaultSpecId, "default partition spec", "default_spec_id", "default_spec_id"),
    (AssertDefaultSortOrderId, "default sort order", "default_sort_order_id", "default_sort_order_id"),
)


def check_requirements(requirements: Iterable[TableRequirement], now: TableMetadata | None) -> None:
    """Raise CommitFailedException unless the table (None: there is none) is as the client expects it."""
    for requirement in requirements:
        if isinstance(requirement, AssertCreate):
            if now is not None:
                raise CommitFailedException("Requirement failed: table already exists")
        elif isinstance(requirement, AssertTableUUID):
            if now is None or requirement.uuid != now.table_uuid:
                found = now.table_uuid if now else None
                raise CommitFailedException(
                    f"Requirement failed: UUID does not match: expected {found} != {requirement.uuid}"
                )
        else:
            _check_id(requirement, now)


def _check_id(requirement: TableRequirement, now: TableMetadata | None) -> None:
    for kind, what, wanted, found in _IDS:
        if isinstance(requirement, kind) and now is not None:
            expected, actual = getattr(requirement, wanted), getattr(now, found)
            if expected != actual:
                raise CommitFailedException(
                    f"Requirement failed: {what} changed: expected id {expected} != {actual}"
                )
            return
    requirement.validate(now)


def apply_updates(
    now: TableMetadata | None, updates: Sequence[TableUpdate], location: str | None
) -> TableMetadata:
    """Return the metadata after `updates`; `location` is that of the metadata file of `now`.

    Raises ValueError if they contradict the table.
    """
    base = now or empty_table_metadata()
    distinct = list(_make_distinct(base, updates))
    version: int = base.format_version
    for at, update in enumerate(distinct):
        if isinstance(update, UpgradeFormatVersionUpdate) and update.format_version == _ROW_LINEAGE > version:
            distinct[at], version = UpgradeFormatVersionUpdate(format_version=2), _ROW_LINEAGE
    changed = update_table_metadata(base, tuple(distinct), now is None, location)
    if version > changed.format_version:
        changed = TableMetadataUtil.parse_obj({**changed.model_dump(), "format-version": version})
    return begin_row_lineage(changed)


def begin_row_lineage(metadata: TableMetadata) -> TableMetadata:
    """Return metadata of version 3 with the next row id, which PyIceberg leaves out; others as they are."""
    if metadata.format_version < _ROW_LINEAGE or getattr(metadata, "next_row_id", None) is not None:
        return metadata
    ends = ((s.first_row_id or 0) + (s.added_rows or 0) for s in metadata.snapshots)
    return metadata.model_copy(update={"next_row_id": max(ends, default=0)})


def _make_distinct(base: TableMetadata, updates: Sequence[TableUpdate]) -> Iterator[TableUpdate]:
    """Yield the updates with new ids for what is new, and the known id for what the table has already."""
    schemas, specs, orders = (
        _Numbered({s.schema_id: s for s in base.schemas}),
        _Numbered({s.spec_id: s for s in base.partition_specs}),
        _Numbered({o.order_id: o for o in base.sort_orders}),
    )
    known_properties = set(base.properties)
    for update in updates:
        match update:
            case AddSchemaUpdate():
                if (number := schemas.add(update.schema_.schema_id, update.schema_)) is not None:
                    fields = {"schema_id": number}
                    yield update.model_copy(update={"schema_": update.schema_.model_copy(update=fields)})
            case SetCurrentSchemaUpdate():
                yield SetCurrentSchemaUpdate(schema_id=schemas.find(update.schema_id))
            case AddPartitionSpecUpdate():
                if (number := specs.add(update.spec.spec_id, update.spec)) is not None:
                    fields = {"spec_id": number}
                    yield update.model_copy(update={"spec": update.spec.model_copy(update=fields)})
            case SetDefaultSpecUpdate():
                yield SetDefaultSpecUpdate(spec_id=specs.find(update.spec_id))
            case AddSortOrderUpdate():
                if (number := orders.add(update.sort_order.order_id, update.sort_order)) is not None:
                    fields = {"order_id": number}
                    yield update.model_copy(
                        update={"sort_order": update.sort_order.model_copy(update=fields)}
                    )
            case SetDefaultSortOrderUpdate():
                yield SetDefaultSortOrderUpdate(sort_order_id=orders.find(update.sort_order_id))
            case RemovePropertiesUpdate():
                yield RemovePropertiesUpdate(removals=[k for k in update.removals if k in known_properties])
            case _:
                yield update


class _Numbered:
    """Schemas, partition specs or sort orders by id."""

    def __init__(self, known: dict[int, Any]) -> None:
        self._known = known
        self._last: int | None = None

    def add(self, number: int, new: Any) -> int | None:
        """Return the id of `new`, None if the table has it already."""
        for known, other in self._known.items():
            if _have_same_fields(new, other):
                self._last = known
                return None
        self._last = number if number not in self._known else max(self._known) + 1
        self._known[self._last] = new
        return self._last

    def find(self, number: int) -> int:
        """Return the id of the last one added for -1."""
        if number != _LAST_ADDED:
            return number
        if self._last is None:
            raise ValueError("the id -1 is that of what was added last, but nothing was added")
        return self._last


def _have_same_fields(one: Any, other: Any) -> bool:
    identifiers = [sorted(getattr(x, "identifier_field_ids", None) or ()) for x in (one, other)]
    return tuple(one.fields) == tuple(other.fields) and identifiers[0] == identifiers[1]
