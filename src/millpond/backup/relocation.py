"""Gives the files of tables another warehouse: their metadata names every file by its absolute location."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from pyiceberg.types import NestedField, StructType

from millpond.backup.lake_files import format_metadata, parse_metadata
from millpond.errors import BackupRefused
from millpond.internals.pyiceberg import AvroFile, AvroOutputFile

_DATA_FILE, _FILE_PATH, _FORMAT, _FILE_SIZE, _CONTENT, _OFFSETS = 2, 100, 101, 104, 134, 132
_BOUNDS, _REFERENCED = (125, 128), 143
_MANIFEST_PATH, _MANIFEST_LENGTH = 500, 501
"""Ids of fields in manifests and their lists, as the Iceberg specification has them."""
_POSITION_DELETES = 1
_PATH_COLUMN, _PATH_COLUMN_IDS = "file_path", (2147483546, 2147483646)
"""The column of a position delete file that names data files; the second id is that of vectors."""
_MAGIC, _TRAILER = b"PFA1", struct.Struct("<iI4s")
"""How a Puffin file ends: the length of its footer, flags, and these bytes."""
_REFERENCED_FILE = "referenced-data-file"

Read = Callable[[str], bytes]
Write = Callable[[str, bytes], None]
"""Read the content of a file as it was backed up, and write the one that replaces it; by former location."""


class Relocation:
    """Rewrites the metadata of tables from the warehouse `old` to `new`; both without a slash at the end.

    Manifests must be written before their lists, which contain how long each is.
    """

    def __init__(self, old: str, new: str, read: Read, write: Write) -> None:
        self._old, self._new, self._read, self._write = f"{old}/", f"{new}/", read, write
        self._whole = {old: new}
        self._sizes: dict[str, int] = {}

    def move(self, location: str) -> str:
        """Return where a file of the old warehouse is in the new one; other locations stay."""
        if location.startswith(self._old):
            return self._new + location.removeprefix(self._old)
        return self._whole.get(location, location)

    def convert_all(self, locations: Sequence[str]) -> None:
        """Write the metadata files among `locations`: manifests, their lists, and tables' metadata."""
        lists = [at for at in locations if at.endswith(".avro") and not self._convert_manifest(at)]
        for location in lists:
            self._convert_list(location)
        for location in locations:
            if location.endswith(".metadata.json"):
                metadata = self._move_texts(parse_metadata(location, self._read(location)))
                self._write(location, format_metadata(location, metadata))

    def _move_texts(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._move_texts(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._move_texts(each) for each in value]
        return self.move(value) if isinstance(value, str) else value

    def _convert_manifest(self, location: str) -> bool:
        """Write a manifest with moved locations; returns False for a list of manifests."""
        file, records = _read_avro(self._read(location))
        at = _positions(file.schema.fields)
        if _MANIFEST_PATH in at:
            return False
        entry = next(f for f in file.schema.fields if f.field_id == _DATA_FILE)
        assert isinstance(entry.field_type, StructType)
        fields = _positions(entry.field_type.fields)
        for record in records:
            self._convert_entry(record[at[_DATA_FILE]], fields, location)
        content = _write_avro(file, records, "manifest_entry")
        self._sizes[location] = len(content)
        self._write(location, content)
        return True

    def _convert_entry(self, data_file: Any, at: dict[int, int], manifest: str) -> None:
        path = data_file[at[_FILE_PATH]]
        if _CONTENT in at and data_file[at[_CONTENT]] == _POSITION_DELETES and path.startswith(self._old):
            convert = _CONVERSIONS.get(str(data_file[at[_FORMAT]]).upper())
            if convert is None:
                raise BackupRefused(
                    f"{manifest} has deleted rows in a format that is not known, with files of {self._old}",
                    next_step="restore it to a home at the former path",
                )
            if path not in self._sizes:
                content = convert(self._read(path), self.move)
                self._sizes[path] = len(content)
                self._write(path, content)
            data_file[at[_FILE_SIZE]] = self._sizes[path]
            for bounds in _BOUNDS:
                if bounds in at and data_file[at[bounds]]:
                    kept = {k: v for k, v in data_file[at[bounds]].items() if k not in _PATH_COLUMN_IDS}
                    data_file[at[bounds]] = kept
            if _OFFSETS in at:
                data_file[at[_OFFSETS]] = None
        for name in (_FILE_PATH, _REFERENCED):
            if name in at and data_file[at[name]]:
                data_file[at[name]] = self.move(data_file[at[name]])

    def _convert_list(self, location: str) -> None:
        file, records = _read_avro(self._read(location))
        at = _positions(file.schema.fields)
        for record in records:
            manifest = record[at[_MANIFEST_PATH]]
            record[at[_MANIFEST_LENGTH]] = self._sizes.get(manifest, record[at[_MANIFEST_LENGTH]])
            record[at[_MANIFEST_PATH]] = self.move(manifest)
        self._write(location, _write_avro(file, records, "manifest_file"))


def _convert_deletes(content: bytes, move: Callable[[str], str]) -> bytes:
    """Return a Parquet file of deleted positions, with moved names of the data files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    index = table.schema.get_field_index(_PATH_COLUMN)
    moved = pa.array([move(path) for path in table[_PATH_COLUMN].to_pylist()], pa.string())
    field = table.schema.field(index).with_type(pa.string())
    out = io.BytesIO()
    pq.write_table(table.set_column(index, field, moved), out, compression="zstd")
    return out.getvalue()


def _convert_vectors(content: bytes, move: Callable[[str], str]) -> bytes:
    """Return a Puffin file of deletion vectors, with moved names of the data files in its footer.

    The vectors stay where they are in the file, as manifests have their offsets.
    """
    length, flags, magic = _TRAILER.unpack(content[-_TRAILER.size :])
    if magic != _MAGIC or flags:
        raise BackupRefused(
            "a file of deletion vectors has a footer that cannot be read",
            next_step="restore it to a home at the former path",
        )
    begin = len(content) - _TRAILER.size - length
    footer = orjson.loads(content[begin : begin + length])
    for blob in footer["blobs"]:
        of = blob["properties"]
        of[_REFERENCED_FILE] = move(of[_REFERENCED_FILE])
    moved = orjson.dumps(footer)
    return content[:begin] + moved + _TRAILER.pack(len(moved), flags, magic)


_CONVERSIONS = {"PARQUET": _convert_deletes, "PUFFIN": _convert_vectors}


def _positions(fields: Sequence[NestedField]) -> dict[int, int]:
    return {field.field_id: position for position, field in enumerate(fields)}


def _read_avro(content: bytes) -> tuple[AvroFile[Any], list[Any]]:
    with AvroFile(_Input(content)) as file:  # type: ignore[arg-type, var-annotated]
        return file, list(file)


def _write_avro(file: AvroFile[Any], records: list[Any], name: str) -> bytes:
    output = _Output()
    with AvroOutputFile(output, file.schema, name, metadata=dict(file.header.meta)) as out:  # type: ignore[arg-type, var-annotated]
        if records:
            out.write_block(records)
    return output.content


class _Input:
    """A file in memory, as PyIceberg reads one."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def open(self) -> io.BytesIO:
        return io.BytesIO(self._content)


class _Output(io.BytesIO):
    """A file in memory, as PyIceberg writes one."""

    content = b""

    def create(self, *, overwrite: bool) -> _Output:
        assert overwrite
        return self

    def close(self) -> None:
        self.content = self.getvalue()
        super().close()
