"""PyIceberg's Avro: what it derives from a schema or a number is derived once, not for each file.

For each manifest that PyIceberg reads or writes it converts the schema from and to JSON, and makes a tree of
readers or writers from it, which takes ten times as long as the entries of a small manifest. The trees hold
no state, so that all files and threads share them. Most of a manifest are small numbers, whose bytes it
encodes one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import pyiceberg.avro.file
from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import AvroFileHeader
from pyiceberg.avro.resolver import construct_reader, construct_writer, resolve_reader, resolve_writer
from pyiceberg.manifest import (
    ManifestWriter,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.typedef import TableVersion
from pyiceberg.types import StructType
from pyiceberg.utils.schema_conversion import AvroSchemaConversion
from typing_extensions import override

T = TypeVar("T")

_KEPT = 256
"""Schemas that are kept: one for each partitioning, of which a lake has few."""


class _Same:
    """A schema as a key of a cache, by identity: its hash would take longer than what the cache saves."""

    __slots__ = ("value",)

    def __init__(self, value: Schema | StructType | PartitionSpec) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def remember_schemas(derive: Callable[..., T]) -> Callable[..., T]:
    """Return `derive`, which remembers what it derived from the same schemas and equal other arguments.

    What it returns is shared by all who call it.
    """

    @lru_cache(_KEPT)
    def derive_once(*given: Any) -> T:
        return derive(*map(_restore, given))

    return lambda *given: derive_once(*map(_make_key, given))


def _make_key(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(value.items())
    return _Same(value) if isinstance(value, Schema | StructType | PartitionSpec) else value


def _restore(key: Any) -> Any:
    if isinstance(key, tuple):
        return dict(key)
    return key.value if isinstance(key, _Same) else key


@lru_cache(_KEPT)
def _parse_schema(text: str) -> Schema:
    return AvroSchemaConversion().avro_to_iceberg(json.loads(text))


def _get_schema(header: AvroFileHeader) -> Schema:
    return _parse_schema(header.meta["avro.schema"])


@remember_schemas
def _build_entry_schema(version: TableVersion, partition: StructType) -> Schema:
    data_file = data_file_with_partition(partition_type=partition, format_version=version)
    return manifest_entry_schema_with_data_file(format_version=version, data_file=data_file)


def _get_entry_schema(writer: ManifestWriter, format_version: TableVersion) -> Schema:
    return _build_entry_schema(format_version, writer._spec.partition_type(writer._schema))


@lru_cache(4_096)
def _encode_int(integer: int) -> bytes:
    datum, encoded = (integer << 1) ^ (integer >> 63), bytearray()
    while datum & ~0x7F:
        encoded.append((datum & 0x7F) | 0x80)
        datum >>= 7
    encoded.append(datum)
    return bytes(encoded)


def _write_int(encoder: BinaryEncoder, integer: int) -> None:
    encoder._output_stream.write(_encode_int(integer))


_build_partition_type = remember_schemas(PartitionSpec.partition_type)
_convert = remember_schemas(AvroSchemaConversion().iceberg_to_avro)
_construct_writer = remember_schemas(construct_writer)
_resolve_writer = remember_schemas(resolve_writer)


class _Conversion(AvroSchemaConversion):
    @override
    def iceberg_to_avro(self, schema: Schema, schema_name: str | None = None) -> Any:
        return _convert(schema, schema_name)


_avro_file: Any = pyiceberg.avro.file
_avro_file.AvroSchemaConversion = _Conversion
_avro_file.construct_reader = remember_schemas(construct_reader)
_avro_file.resolve_reader = remember_schemas(resolve_reader)
_avro_file.construct_writer = lambda file_schema: _construct_writer(file_schema)
_avro_file.resolve_writer = lambda record_schema, file_schema: _resolve_writer(record_schema, file_schema)
PartitionSpec.partition_type = lambda self, schema: _build_partition_type(self, schema)  # type: ignore[method-assign]
BinaryEncoder.write_int = _write_int  # type: ignore[assignment, method-assign]
AvroFileHeader.get_schema = _get_schema  # type: ignore[assignment, method-assign]
ManifestWriter._with_partition = _get_entry_schema  # type: ignore[assignment, method-assign]
