"""The Iceberg catalog of one ref: PyIceberg's SqlCatalog whose name is the ref."""

from __future__ import annotations

import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any

import psycopg
from pyiceberg.catalog import Catalog, MetastoreCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.io import FileIO
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.table import Table
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import AssertCreate, TableRequirement, TableUpdate
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties
from typing_extensions import override

from millpond.errors import RefNotFound
from millpond.internals.pyiceberg import (
    CommitTableResponse,
    StagedTable,
    load_location_provider,
    new_table_metadata,
    parse_metadata_version,
)
from millpond.lake.column_defaults import keep_defaults
from millpond.lake.commit import swap
from millpond.lake.connect import borrow_connection, get_engine
from millpond.lake.created_files import CreatedFiles, TrackingIO
from millpond.lake.files import check_location, discard, locate, warehouse_uri
from millpond.lake.metadata import read_metadata, write_metadata
from millpond.lake.pointers import Move, Note, PointerMoved, find_kind, read_pointers
from millpond.lake.table_updates import apply_updates, begin_row_lineage, check_requirements

if TYPE_CHECKING:
    from sqlalchemy import Engine

TABLE_PROPERTIES = {
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "50",
    "commit.retry.max-wait-ms": "1000",
    "write.metadata.delete-after-commit.enabled": "false",
}
"""Of every table we create: other PyIceberg clients retry often, and delete no files of branches."""

_ATTEMPTS = 5

TableChange = tuple[Identifier, tuple[TableRequirement, ...], tuple[TableUpdate, ...]]


def load_catalog(ref: str, client: str = "") -> LakeCatalog:
    """Return the catalog of `ref`; raises RefNotFound."""
    with borrow_connection() as conn:
        read_pointers(conn, ref, ())
    return LakeCatalog(ref, client)


class LakeCatalog(SqlCatalog):
    """The tables of one ref; all refs share connections and files. Use `catalog` to get one.

    `created` names every file written through this object, in case they must be flushed or discarded.
    `client` is the program that the ref log names as the author of what is committed through it.
    """

    def __init__(self, ref: str, client: str = "") -> None:
        MetastoreCatalog.__init__(self, ref, warehouse=warehouse_uri())
        self.client = client
        self.created = CreatedFiles()
        self._schema_version = "v1"

    @cached_property
    def engine(self) -> Engine:  # type: ignore[override]
        """The engine of PyIceberg's own methods, of which few are used."""
        return get_engine()

    def table_at(self, table: str, location: str) -> Table:
        """Return `table` as the metadata file at `location` describes it."""
        metadata = read_metadata(location)
        io = self._load_file_io(metadata.properties, location)
        return Table(Catalog.identifier_to_tuple(table), metadata, location, io, self)

    def file_io(self) -> TrackingIO:
        """Return the FileIO of the warehouse."""
        return TrackingIO(self.properties, self.created)

    def pointer(self, identifier: str | Identifier) -> str:
        """Return the metadata location of a table; raises NoSuchTableError, RefNotFound."""
        table = Catalog.namespace_to_string(identifier)
        with borrow_connection() as conn:
            found = read_pointers(conn, self.name, (table,))
        if table not in found:
            raise NoSuchTableError(f"Table does not exist: {table} (on ref {self.name})")
        return found[table]

    def stage_new(
        self,
        table: str,
        schema: Any,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
        location: str | None = None,
    ) -> StagedTable:
        """Return a table that is not yet on any ref, at `location` or a new one."""
        both = {**TABLE_PROPERTIES, **properties}
        schema = self._convert_schema_if_needed(schema)
        namespace, name = table.rsplit(".", 1)
        place = check_location(self._resolve_table_location(location, namespace, name))
        new = new_table_metadata(schema, partition_spec, sort_order, place, both)
        metadata = begin_row_lineage(keep_defaults(new, schema))
        at = check_location(load_location_provider(place, both).new_table_metadata_file_location())
        identifier = Catalog.identifier_to_tuple(table)
        return StagedTable(identifier, metadata, at, self._load_file_io(both, at), self)

    def add(self, staged: StagedTable) -> None:
        """Put a new table on this ref; raises TableAlreadyExistsError."""
        write_metadata(staged.metadata, staged.metadata_location, staged.io)
        table = Catalog.namespace_to_string(staged.name())
        self._swap_new([Move(table, None, staged.metadata_location)], "create")

    def commit_tables(self, changes: list[TableChange]) -> list[StagedTable]:
        """Apply changes to several tables in one transaction; returns the changed tables.

        Raises CommitFailedException if a requirement fails or others keep changing a table, NoSuchTableError.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._commit_tables(changes)
            except PointerMoved:
                continue
        try:
            return self._commit_tables(changes)
        except PointerMoved as moved:
            raise CommitFailedException(
                f"{moved} on ref {self.name} was changed by another writer"
            ) from moved

    def _commit_tables(self, changes: list[TableChange]) -> list[StagedTable]:
        staged: list[StagedTable] = []
        moves: list[Move] = []
        written = len(self.created)  # the client's own files, which the next attempt needs again
        for identifier, requirements, updates in changes:
            current = self._current(identifier, requirements)
            check_requirements(requirements, current.metadata if current else None)
            new = self._stage_changed(current, identifier, updates)
            if current is None or new.metadata_location != current.metadata_location:
                write_metadata(new.metadata, new.metadata_location, new.io)
                old = current.metadata_location if current else None
                moves.append(Move(Catalog.namespace_to_string(identifier), old, new.metadata_location))
            staged.append(new)
        if moves:
            self.move(moves, "commit", written)
        return staged

    def _stage_changed(
        self, current: Table | None, identifier: Identifier, updates: tuple[TableUpdate, ...]
    ) -> StagedTable:
        now, at = (current.metadata, current.metadata_location) if current else (None, None)
        changed = apply_updates(now, updates, at)
        if at is None or changed != now:
            version = parse_metadata_version(at) + 1 if at else 0
            provider = load_location_provider(check_location(changed.location), changed.properties)
            at = check_location(provider.new_table_metadata_file_location(version))
        return StagedTable(identifier, changed, at, self._load_file_io(changed.properties, at), self)

    def move(self, moves: list[Move], action: str, kept: int = 0) -> None:
        """Move pointers as one commit of this catalog's client. Raises PointerMoved, OutcomeUnknown."""
        with borrow_connection() as conn:
            self.point(conn, moves, Note(action, client=self.client), kept)

    def point(self, conn: psycopg.Connection, moves: list[Move], note: Note, kept: int = 0) -> None:
        """Flush the created files and move the pointers to them.

        If others moved the pointers, discards the files but the first `kept`. Raises PointerMoved,
        RefNotFound, OutcomeUnknown.
        """
        self.created.flush()
        try:
            swap(conn, self.name, moves, note)
        except (PointerMoved, RefNotFound):
            self.discard(kept)
            raise

    def discard(self, kept: int = 0) -> None:
        """Remove the created files but the first `kept`; only for changes that are certainly not visible."""
        self.created.give_up()
        discard(self.created[kept:])
        del self.created[kept:]

    @override
    def load_table(self, identifier: str | Identifier) -> Table:
        return self.table_at(Catalog.namespace_to_string(identifier), self.pointer(identifier))

    @override
    def create_table(
        self,
        identifier: str | Identifier,
        schema: Any,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        self._require_namespace(identifier)
        table = Catalog.namespace_to_string(identifier)
        staged = self.stage_new(table, schema, partition_spec, sort_order, properties, location)
        self.add(staged)
        return self.table_at(table, staged.metadata_location)

    @override
    def register_table(
        self, identifier: str | Identifier, metadata_location: str, overwrite: bool = False
    ) -> Table:
        self._require_namespace(identifier)
        table = Catalog.namespace_to_string(identifier)
        found = self.table_at(table, check_location(metadata_location))
        check_location(found.location())
        old = self.pointer(table) if overwrite and self.table_exists(table) else None
        self._swap_new([Move(table, old, metadata_location)], "register")
        return found

    @override
    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        (new,) = self.commit_tables([(table.name(), requirements, updates)])
        return CommitTableResponse(metadata=new.metadata, metadata_location=new.metadata_location)

    @override
    def drop_table(self, identifier: str | Identifier) -> None:
        table = Catalog.namespace_to_string(identifier)
        self._swap([Move(table, self.pointer(table), None)], "drop table")

    @override
    def rename_table(self, from_identifier: str | Identifier, to_identifier: str | Identifier) -> Table:
        self._require_namespace(to_identifier)
        source, target = (
            Catalog.namespace_to_string(from_identifier),
            Catalog.namespace_to_string(to_identifier),
        )
        location = self.pointer(source)
        if taken := find_kind(self.name, target):
            kind = "View" if taken[0] == "VIEW" else "Table"
            raise TableAlreadyExistsError(f"Cannot rename {source} to {target}. {kind} already exists")
        self._swap_new([Move(target, None, location), Move(source, location, None)], "rename")
        return self.table_at(target, location)

    def _current(self, identifier: Identifier, requirements: tuple[TableRequirement, ...]) -> Table | None:
        if not any(isinstance(r, AssertCreate) for r in requirements):
            return self.load_table(identifier)
        self._require_namespace(identifier)
        name = Catalog.namespace_to_string(identifier)
        taken = find_kind(self.name, name)
        if taken and taken[0] == "VIEW":
            raise _taken_error(self.name, name)
        return self.load_table(identifier) if taken else None

    def _require_namespace(self, identifier: str | Identifier) -> None:
        namespace = Catalog.namespace_from(identifier)
        if not self.namespace_exists(namespace):
            raise NoSuchNamespaceError(f"Namespace does not exist: {'.'.join(namespace)}")

    def _swap(self, moves: list[Move], action: str) -> None:
        try:
            self.move(moves, action)
        except PointerMoved as moved:
            raise CommitFailedException(
                f"{moved} on ref {self.name} was changed by another writer"
            ) from moved

    def _swap_new(self, moves: list[Move], action: str) -> None:
        """Move pointers of which the first is that of a new table."""
        try:
            self._swap(moves, action)
        except CommitFailedException as failed:
            if moves[0].old is None and find_kind(self.name, moves[0].table):
                raise _taken_error(self.name, moves[0].table) from failed
            raise

    @override
    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return TrackingIO({**self.properties, **properties}, self.created)

    @override
    def _resolve_table_location(self, location: str | None, database_name: str, table_name: str) -> str:
        if location:
            return location.rstrip("/")
        return f"{locate((*database_name.split('.'), table_name))}-{uuid.uuid4().hex[:12]}"


def _taken_error(ref: str, name: str) -> TableAlreadyExistsError:
    taken = find_kind(ref, name)
    what = "View with same name" if taken and taken[0] == "VIEW" else "Table"
    return TableAlreadyExistsError(f"{what} already exists: {name} (on ref {ref})")
