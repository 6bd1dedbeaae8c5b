"""The summary of a new snapshot: what was added and removed, and the totals after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyiceberg.manifest import DataFile
from pyiceberg.table.snapshots import Operation

from millpond.internals.pyiceberg import DataFileContent, Summary

_TOTALS = {
    "total-data-files": ("added-data-files", "deleted-data-files"),
    "total-delete-files": ("added-delete-files", "removed-delete-files"),
    "total-records": ("added-records", "deleted-records"),
    "total-files-size": ("added-files-size", "removed-files-size"),
    "total-position-deletes": ("added-position-deletes", "removed-position-deletes"),
    "total-equality-deletes": ("added-equality-deletes", "removed-equality-deletes"),
}


def summarize(
    operation: Operation,
    added: Collection[DataFile],
    removed: Collection[DataFile],
    properties: Mapping[str, str],
    previous: Mapping[str, str] | None,
) -> Summary | None:
    """Return the summary of a snapshot of the files of rows, as PyIceberg does; None for files of deletes."""
    both = (*added, *removed)
    if any(file.content != DataFileContent.DATA for file in both):
        return None
    counts = {
        "added-files-size": sum(file.file_size_in_bytes for file in added),
        "removed-files-size": sum(file.file_size_in_bytes for file in removed),
        "added-data-files": len(added),
        "deleted-data-files": len(removed),
        "added-records": sum(file.record_count for file in added),
        "deleted-records": sum(file.record_count for file in removed),
        "changed-partition-count": len({_name_partition(file) for file in both if len(file.partition)}),
    }
    found = {name: str(count) for name, count in counts.items() if count > 0} | dict(properties)
    for total, (more, fewer) in _TOTALS.items():
        before = previous.get(total) if previous else "0"
        if before and (now := int(before) + int(found.get(more, 0)) - int(found.get(fewer, 0))) >= 0:
            found[total] = str(now)
    return Summary(operation, **found)


def _name_partition(file: DataFile) -> tuple[object, ...]:
    return tuple(file.partition[at] for at in range(len(file.partition)))
