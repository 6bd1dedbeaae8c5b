"""A change to one table before its commit: PyIceberg's transaction and snapshot producer, adapted to windows.

PyIceberg's own overwrite creates two or three snapshots, copies the metadata dozens of times and keeps
manifests of files deleted long ago; these overrides create one snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import TableUpdate
from typing_extensions import override

from millpond.internals.pyiceberg import (
    ManifestMergeManager,
    OverwriteFiles,
    RemoveSnapshotsUpdate,
    load_location_provider,
    parse_metadata_version,
    update_table_metadata,
)
from millpond.lake.metadata import write_metadata
from millpond.lake.retention import find_expired, trim_log

_MANIFESTS = 16
"""From this many manifests on they are merged, so that planning a scan reads few files."""
_MANIFEST_BYTES = 8 << 20
_PARTITIONS = 64
"""Up to this many partitions it is faster to look for their manifests than to read all."""


class Staging(Transaction):
    """Collects updates of one table; they become visible when a pointer leads to the new metadata.

    `old_schema` is set if a column's type changes: its files are read by it, and all of them are rewritten.
    """

    def __init__(self, table: Table, *, is_new: bool) -> None:
        super().__init__(table)
        self.table, self.is_new = table, is_new
        self.old_schema: Schema | None = None
        self._known: tuple[tuple[TableUpdate, ...], TableMetadata] = ((), table.metadata)

    @property
    @override
    def table_metadata(self) -> TableMetadata:
        if self._known[0] is not self._updates:
            self._known = (self._updates, update_table_metadata(self.table.metadata, self._updates))
        return self._known[1]

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return self.is_new or bool(self._updates)

    @property
    def old_location(self) -> str | None:
        """Metadata location the change starts from; None for a new table."""
        return None if self.is_new else self.table.metadata_location

    def replace_files(
        self, removed: Iterable[DataFile], added: Iterable[DataFile], properties: Mapping[str, str]
    ) -> None:
        """Stage one snapshot that drops `removed` and holds `added`."""
        removed, added = list(removed), list(added)
        if self.table_metadata.current_snapshot() is None:
            operation = Operation.APPEND
        else:
            operation = Operation.OVERWRITE if added or not removed else Operation.DELETE
        producer = _ReplaceFiles(operation, self, self.table.io, snapshot_properties=dict(properties))
        for file in removed:
            producer.delete_data_file(file)
        for file in added:
            producer.append_data_file(file)
        producer.commit()

    def finish(self) -> tuple[TableMetadata, str]:
        """Write the metadata with all updates, if there are any; returns it and its location."""
        old = self.table.metadata_location
        if not self.changed:
            return self.table.metadata, old
        if self.is_new:
            metadata, location = update_table_metadata(self.table.metadata, self._updates), old
        else:
            updates = self._updates
            if expired := find_expired(".".join(self.table.name()), self.table_metadata):
                updates = (*updates, RemoveSnapshotsUpdate(snapshot_ids=expired))
            metadata = trim_log(update_table_metadata(self.table.metadata, updates, metadata_location=old))
            provider = load_location_provider(metadata.location, metadata.properties)
            version = parse_metadata_version(old) + 1
            location = provider.new_table_metadata_file_location(version)
        write_metadata(metadata, location, self.table.io)
        return metadata, location


class _ReplaceFiles(OverwriteFiles):
    """Keeps no manifest without live files, and merges manifests when they are many."""

    @override
    def _build_delete_files_partition_predicate(self) -> None:
        if len({f.partition for f in self._deleted_data_files}) <= _PARTITIONS:
            super()._build_delete_files_partition_predicate()

    @override
    def _build_manifest_evaluator(self, spec_id: int):  # type: ignore[no-untyped-def]
        if len({f.partition for f in self._deleted_data_files}) > _PARTITIONS:
            return lambda _: True
        # PyIceberg shares one evaluator among threads, although it keeps the manifest it is at.
        build = super()._build_manifest_evaluator
        return lambda manifest: build(spec_id)(manifest)

    @override
    def _existing_manifests(self) -> list[ManifestFile]:
        found = super()._existing_manifests()
        return [
            m
            for m in found
            if m.content != ManifestContent.DATA or m.has_added_files() or m.has_existing_files()
        ]

    @override
    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        data = [m for m in manifests if m.content == ManifestContent.DATA]
        others = [m for m in manifests if m.content != ManifestContent.DATA]
        if len(data) < _MANIFESTS:
            return manifests
        merging = ManifestMergeManager(_MANIFEST_BYTES, _MANIFESTS, True, self)
        return merging.merge_manifests(data) + others
