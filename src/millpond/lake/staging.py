"""A change to one table before its commit: PyIceberg's transaction and snapshot producer, adapted to windows.

PyIceberg's own overwrite creates two or three snapshots, copies the metadata dozens of times and keeps
manifests of files deleted long ago; these overrides create one snapshot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import TableUpdate
from typing_extensions import override

from millpond.errors import LakeError
from millpond.internals.pyiceberg import (
    ManifestEntry,
    ManifestEntryStatus,
    OverwriteFiles,
    RemoveSnapshotsUpdate,
    Summary,
    TableProperties,
    load_location_provider,
    parse_metadata_version,
    update_table_metadata,
)
from millpond.lake.created_files import TrackingIO
from millpond.lake.manifests import (
    count_files,
    find_most_files,
    may_hold,
    read_entries,
    read_manifests,
    remember_written,
    select_small,
    split_by_partition,
)
from millpond.lake.metadata import write_metadata
from millpond.lake.retention import find_expired, trim_log
from millpond.lake.summary import summarize

NEWEST_WRITTEN = 2
"""The newest version of the table format that is written; tables of a newer one are read."""


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
            changed = update_table_metadata(
                self.table.metadata, self._updates, metadata_location=self.old_location
            )
            self._known = (self._updates, changed)
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
        self._refuse_newer_format()
        removed, added = list(removed), list(added)
        if self.table_metadata.current_snapshot() is None:
            operation = Operation.APPEND
        else:
            operation = Operation.OVERWRITE if added or not removed else Operation.DELETE
        producer = _ReplaceFiles(operation, self, self.table.io, snapshot_properties=dict(properties))
        self._produce(producer, removed, added)

    def rewrite_files(
        self,
        removed: Iterable[DataFile],
        added: Iterable[DataFile],
        needed: Collection[str] | None,
        properties: Mapping[str, str],
    ) -> None:
        """Stage one snapshot with the same rows in other files.

        `needed` are the files of deleted rows that stay; None keeps all of them.
        """
        self._refuse_newer_format()
        producer = _RewriteFiles(
            Operation.OVERWRITE, self, self.table.io, snapshot_properties=dict(properties)
        )
        producer.needed = needed
        self._produce(producer, removed, added)

    def _refuse_newer_format(self) -> None:
        version = self.table_metadata.format_version
        if version > NEWEST_WRITTEN:
            table = ".".join(self.table.name())
            raise LakeError(
                f"{table} has version {version} of the table format, which Millpond reads and does not write",
                unharmed="the table; nothing of this write is visible",
                next_step=f"write it with the program that made it so, or undo that commit: "
                f"`millpond tables history {table}`",
            )

    def expire(self) -> bool:
        """Stage that the snapshots that are due are dropped; returns whether there are any."""
        expired = find_expired(".".join(self.table.name()), self.table_metadata)
        if expired:
            self._updates = (*self._updates, RemoveSnapshotsUpdate(snapshot_ids=expired))
        return bool(expired)

    def finish(self) -> tuple[TableMetadata, str]:
        """Write the metadata with all updates, if there are any; returns it and its location."""
        old = self.table.metadata_location
        if not self.changed:
            return self.table.metadata, old
        if self.is_new:
            metadata, location = self.table_metadata, old
        else:
            self.expire()
            metadata = trim_log(self.table_metadata)
            provider = load_location_provider(metadata.location, metadata.properties)
            version = parse_metadata_version(old) + 1
            location = provider.new_table_metadata_file_location(version)
        write_metadata(metadata, location, self.table.io)
        return metadata, location

    def _produce(
        self, producer: _ReplaceFiles, removed: Iterable[DataFile], added: Iterable[DataFile]
    ) -> None:
        for file in removed:
            producer.delete_data_file(file)
        for file in added:
            producer.append_data_file(file)
        producer.commit()
        producer.remember(self.table_metadata)
        if isinstance(self.table.io, TrackingIO):
            self.table.io.flush_soon()


class _ReplaceFiles(OverwriteFiles):
    """Writes one manifest where PyIceberg writes two or three, and merges small ones when they are many.

    It names what is added, what is gone, and the other files of the manifests that named what is gone.
    """

    _listed: Sequence[ManifestFile] = ()
    _entries: Mapping[str, Sequence[ManifestEntry]] = {}

    def remember(self, metadata: TableMetadata) -> None:
        """Note what the files of the new snapshot hold, for the next change in this process."""
        snapshot = metadata.current_snapshot()
        if snapshot is not None and metadata.format_version == NEWEST_WRITTEN:
            remember_written(snapshot, self._listed, self._entries)

    @override
    def _manifests(self) -> list[ManifestFile]:
        metadata, gone = self._transaction.table_metadata, self._deleted_data_files
        kept = list(read_manifests(metadata, self._io))
        touched = [m for m in kept if self._may_hold(m) and not gone.isdisjoint(self._list_files(m))]
        kept = [m for m in kept if m not in touched]
        small = select_small(kept)
        kept = [m for m in kept if m not in small]
        named = defaultdict(list)
        for file in self._added_data_files:
            named[metadata.default_spec_id].append(
                ManifestEntry.from_args(
                    status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, data_file=file
                )
            )
        for manifest in (*touched, *small):
            for entry in read_entries(manifest, self._io):
                named[manifest.partition_spec_id].append(self._copy_entry(entry))
        self._validate_required_deletes(
            [e for part in named.values() for e in part if e.status == ManifestEntryStatus.DELETED]
        )
        most = find_most_files(sum(map(count_files, kept)) + sum(map(len, named.values())))
        written = [
            (self._write(spec, part), part)
            for spec, entries in named.items()
            for part in split_by_partition(entries, most)
        ]
        self._entries = {manifest.manifest_path: part for manifest, part in written}
        self._listed = self._process_manifests([manifest for manifest, _ in written] + kept)
        return list(self._listed)

    @override
    def _summary(self, snapshot_properties: dict[str, str] = {}) -> Summary:  # noqa: B006 - as PyIceberg's
        metadata = self._transaction.table_metadata
        parent = metadata.current_snapshot()
        found = None
        if TableProperties.WRITE_PARTITION_SUMMARY_LIMIT not in metadata.properties:
            added, gone = self._added_data_files, self._deleted_data_files
            before = parent.summary if parent else None
            found = summarize(self._operation, added, gone, snapshot_properties, before)
        return found or super()._summary(snapshot_properties)

    def _may_hold(self, manifest: ManifestFile) -> bool:
        spec = self.spec(manifest.partition_spec_id)
        return manifest.content == ManifestContent.DATA and may_hold(
            manifest, spec, self.schema(), self._deleted_data_files
        )

    def _list_files(self, manifest: ManifestFile) -> Iterator[DataFile]:
        return (entry.data_file for entry in read_entries(manifest, self._io))

    def _copy_entry(self, entry: ManifestEntry) -> ManifestEntry:
        gone = entry.data_file in self._deleted_data_files
        return ManifestEntry.from_args(
            status=ManifestEntryStatus.DELETED if gone else ManifestEntryStatus.EXISTING,
            snapshot_id=self._snapshot_id if gone else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=_leave_out_values(entry.data_file) if gone else entry.data_file,
        )

    def _write(self, spec_id: int, entries: Iterable[ManifestEntry]) -> ManifestFile:
        with self.new_manifest_writer(self.spec(spec_id)) as writer:
            for entry in entries:
                writer.add_entry(entry)
        return writer.to_manifest_file()


def _leave_out_values(file: DataFile) -> DataFile:
    """Return what says which file is gone, without the least and greatest values, which may be wiped."""
    return DataFile.from_args(
        content=file.content,
        file_path=file.file_path,
        file_format=file.file_format,
        partition=file.partition,
        record_count=file.record_count,
        file_size_in_bytes=file.file_size_in_bytes,
    )


class _RewriteFiles(_ReplaceFiles):
    """A snapshot of the operation `replace`, which PyIceberg 0.12 does not write."""

    needed: Collection[str] | None = None
    _dropped: tuple[DataFile, ...] = ()

    @override
    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        kept = []
        for manifest in super()._process_manifests(manifests):
            files = self._find_unneeded(manifest)
            if files:
                self._dropped += files
            else:
                kept.append(manifest)
        return kept

    def _find_unneeded(self, manifest: ManifestFile) -> tuple[DataFile, ...]:
        """Return the files of deleted rows of a manifest, if no data file needs any of them."""
        if manifest.content == ManifestContent.DATA or self.needed is None:
            return ()
        files = tuple(entry.data_file for entry in self.fetch_manifest_entry(manifest))
        return () if any(file.file_path in self.needed for file in files) else files

    @override
    def _summary(self, snapshot_properties: dict[str, str] = {}) -> Summary:  # noqa: B006 - as PyIceberg's
        made = super()._summary(snapshot_properties).additional_properties
        gone = {
            "total-delete-files": len(self._dropped),
            "total-position-deletes": sum(file.record_count for file in self._dropped),
            "total-files-size": sum(file.file_size_in_bytes for file in self._dropped),
        }
        totals = {
            name: str(max(0, int(made[name]) - number)) for name, number in gone.items() if name in made
        }
        return Summary(Operation.REPLACE, **{**made, **totals})
