"""The Iceberg catalog of one ref: PyIceberg's SqlCatalog whose name is the ref."""

from __future__ import annotations

import uuid
from typing import Any

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
from millpond.internals.pyiceberg import CommitTableResponse, StagedTable
from millpond.lake.commit import swap
from millpond.lake.connect import borrow_connection, get_engine
from millpond.lake.files import TrackingIO, discard, flush, warehouse_uri
from millpond.lake.metadata import read_metadata, write_metadata
from millpond.lake.pointers import Move, Note, PointerMoved, read_pointers

TABLE_PROPERTIES = {
    "commit.retry.num-retries": "20",
    "commit.retry.min-wait-ms": "50",
    "commit.retry.max-wait-ms": "1000",
    "write.metadata.delete-after-commit.enabled": "false",
}
"""Of every table we create: other PyIceberg clients retry often, and delete no files of branches."""

_ATTEMPTS = 5

TableChange = tuple[Identifier, tuple[TableRequirement, ...], tuple[TableUpdate, ...]]


def load_catalog(ref: str) -> LakeCatalog:
    """Return the catalog of `ref`; raises RefNotFound."""
    with borrow_connection() as conn:
        read_pointers(conn, ref, ())
    return LakeCatalog(ref)


class LakeCatalog(SqlCatalog):
    """The tables of one ref; all refs share connections and files. Use `catalog` to get one.

    `created` names every file written through this object, in case they must be flushed or discarded.
    """

    def __init__(self, ref: str) -> None:
        MetastoreCatalog.__init__(self, ref, warehouse=warehouse_uri())
        self.created: list[str] = []
        self.engine = get_engine()
        self._schema_version = "v1"

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
            raise NoSuchTableError(f"there is no table {table} on ref {self.name}")
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
        return self._create_staged_table(table, schema, location, partition_spec, sort_order, both)

    def add(self, staged: StagedTable) -> None:
        """Put a new table on this ref; raises TableAlreadyExistsError."""
        write_metadata(staged.metadata, staged.metadata_location, staged.io)
        table = Catalog.namespace_to_string(staged.name())
        self._swap([Move(table, None, staged.metadata_location)], "create", TableAlreadyExistsError)

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
        for identifier, requirements, updates in changes:
            current = self._current(identifier, requirements)
            new = self._update_and_stage_table(current, identifier, requirements, updates)
            if current is not None and new.metadata == current.metadata:
                new.metadata_location = current.metadata_location
            else:
                write_metadata(new.metadata, new.metadata_location, new.io)
                old = current.metadata_location if current else None
                moves.append(Move(Catalog.namespace_to_string(identifier), old, new.metadata_location))
            staged.append(new)
        if moves:
            with borrow_connection() as conn:
                self.point(conn, moves, Note("commit"))
        return staged

    def point(self, conn: psycopg.Connection, moves: list[Move], note: Note) -> None:
        """Flush the created files and move the pointers to them; discards them if others moved the pointers.

        Raises PointerMoved, RefNotFound, OutcomeUnknown.
        """
        flush(self.created)
        try:
            swap(conn, self.name, moves, note)
        except (PointerMoved, RefNotFound):
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the created files; only for changes that are certainly not visible."""
        discard(self.created)
        self.created.clear()

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
        found = self.table_at(table, metadata_location)
        self._swap([Move(table, None, metadata_location)], "register", TableAlreadyExistsError)
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
        moves = [Move(target, None, location), Move(source, location, None)]
        self._swap(moves, "rename", TableAlreadyExistsError)
        return self.table_at(target, location)

    def _current(self, identifier: Identifier, requirements: tuple[TableRequirement, ...]) -> Table | None:
        if not any(isinstance(r, AssertCreate) for r in requirements):
            return self.load_table(identifier)
        if self.table_exists(identifier):
            raise CommitFailedException(f"there is a table {'.'.join(identifier)} on ref {self.name} already")
        return None

    def _require_namespace(self, identifier: str | Identifier) -> None:
        namespace = Catalog.namespace_from(identifier)
        if not self.namespace_exists(namespace):
            raise NoSuchNamespaceError(f"there is no namespace {'.'.join(namespace)} on ref {self.name}")

    def _swap(self, moves: list[Move], action: str, refused: type[Exception] = CommitFailedException) -> None:
        try:
            with borrow_connection() as conn:
                self.point(conn, moves, Note(action))
        except PointerMoved as moved:
            raise refused(
                f"{moved} on ref {self.name} exists already or was changed by another writer"
            ) from moved

    @override
    def _load_file_io(self, properties: Properties = EMPTY_DICT, location: str | None = None) -> FileIO:
        return TrackingIO({**self.properties, **properties}, self.created)

    @override
    def _resolve_table_location(self, location: str | None, database_name: str, table_name: str) -> str:
        if location:
            return location.rstrip("/")
        return f"{self.properties['warehouse']}/{database_name}/{table_name}-{uuid.uuid4().hex[:12]}"
