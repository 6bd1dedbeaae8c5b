"""PyIceberg's Avro: what it derives from a schema or a number is derived once, not for each file.

For each manifest that PyIceberg reads or writes it converts the schema from and to JSON, and makes a tree of
readers or writers from it, which takes ten times as long as the entries of a small manifest. The trees hold
no state, so that all files and threads share them. Most of a manifest are small numbers, whose bytes it
encodes one by one; and each entry is a block, compressed by itself. Here a tree of writers becomes a function
that appends to one buffer, and a file has one block.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, TypeVar

import pyiceberg.avro.file
import pyiceberg.manifest
from pydantic_core import to_json
from pyiceberg.avro.codecs import AVRO_CODEC_KEY, CODEC_MAPPING_ICEBERG_TO_AVRO
from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import MAGIC, AvroFileHeader, AvroOutputFile
from pyiceberg.avro.resolver import construct_reader, construct_writer, resolve_reader, resolve_writer
from pyiceberg.avro.writer import (
    BinaryWriter,
    IntegerWriter,
    ListWriter,
    MapWriter,
    OptionWriter,
    StringWriter,
    StructWriter,
    Writer,
)
from pyiceberg.io.pyarrow import PyArrowFile
from pyiceberg.manifest import (
    ManifestWriter,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import TableProperties
from pyiceberg.typedef import StructProtocol, TableVersion
from pyiceberg.types import StructType
from pyiceberg.utils.schema_conversion import AvroSchemaConversion
from typing_extensions import override

from millpond.internals.result_cache import KEPT, remember_results

D = TypeVar("D", bound=StructProtocol)
Encode = Callable[[bytearray, Any], None]
"""Appends the encoding of a value."""


@lru_cache(KEPT)
def _parse_schema(text: str) -> Schema:
    return AvroSchemaConversion().avro_to_iceberg(json.loads(text))


def _get_schema(header: AvroFileHeader) -> Schema:
    return _parse_schema(header.meta["avro.schema"])


@remember_results
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


def _encode_text(text: str) -> bytes:
    encoded = text.encode()
    return _encode_int(len(encoded)) + encoded


def _encode_bytes(value: bytes) -> bytes:
    return _encode_int(len(value)) + value


_RENDERS: Sequence[tuple[type[Writer], Callable[[Any], bytes]]] = (
    (IntegerWriter, _encode_int),
    (StringWriter, _encode_text),
    (BinaryWriter, _encode_bytes),
)


def make_encoder(writer: Writer) -> Encode:
    """Return a function that encodes as `writer` does."""
    if render := _find_render(writer):
        return lambda out, value: out.extend(render(value))
    match writer:
        case OptionWriter():
            return _encode_option(make_encoder(writer.option))
        case StructWriter():
            return _encode_struct([(at, make_encoder(each)) for at, each in writer.field_writers])
        case ListWriter():
            return _encode_list(make_encoder(writer.element_writer))
        case MapWriter():
            return _encode_map(writer.key_writer, writer.value_writer)
    return _encode_other(writer)


def _encode_option(encode_value: Encode) -> Encode:
    def encode(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(0)
        else:
            out.append(2)
            encode_value(out, value)

    return encode


def _encode_struct(fields: Sequence[tuple[int | None, Encode]]) -> Encode:
    def encode(out: bytearray, value: Any) -> None:
        for at, encode_field in fields:
            encode_field(out, None if at is None else value[at])

    return encode


def _encode_list(encode_element: Encode) -> Encode:
    def encode(out: bytearray, value: Sequence[Any]) -> None:
        if value:
            out.extend(_encode_int(len(value)))
            for each in value:
                encode_element(out, each)
        out.append(0)

    return encode


def _encode_map(key: Writer, value: Writer) -> Encode:
    render_key, render_value = _find_render(key), _find_render(value)
    encode_key, encode_value = make_encoder(key), make_encoder(value)

    def encode(out: bytearray, pairs: Mapping[Any, Any]) -> None:
        if pairs:
            out.extend(_encode_int(len(pairs)))
            for each, held in pairs.items():
                encode_key(out, each)
                encode_value(out, held)
        out.append(0)

    def encode_simple(out: bytearray, pairs: Mapping[Any, Any]) -> None:
        if pairs:
            out += _encode_int(len(pairs))
            out += b"".join([render_key(each) + render_value(held) for each, held in pairs.items()])  # type: ignore[misc]
        out.append(0)

    return encode_simple if render_key and render_value else encode


def _find_render(writer: Writer) -> Callable[[Any], bytes] | None:
    """Return the function that encodes numbers, texts or bytes by themselves."""
    return next((render for kind, render in _RENDERS if isinstance(writer, kind)), None)


def _encode_other(writer: Writer) -> Encode:
    """Return the encoder of a kind of values of which a manifest has few."""

    def encode(out: bytearray, value: Any) -> None:
        stream = io.BytesIO()
        writer.write(BinaryEncoder(stream), value)
        out.extend(stream.getvalue())

    return encode


class WholeFile(PyArrowFile):
    """A file that can be written at once."""

    def write_whole(self, content: bytes) -> None:
        """Create the file with this content."""
        with self.create(overwrite=True) as stream:
            stream.write(content)


class _OneBlockFile(AvroOutputFile[D]):
    """A file whose records become one block, which is written when it is closed."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._encode = _make_encoder_once(self.writer)
        self._records, self._block = 0, bytearray()

    @override
    def __enter__(self) -> _OneBlockFile[D]:
        return self

    @override
    def write_block(self, objects: list[D]) -> None:
        for each in objects:
            self._encode(self._block, each)
        self._records += len(objects)

    @override
    def tell(self) -> int:
        return len(self._block)

    @override
    def __exit__(
        self,
        exctype: type[BaseException] | None,
        excinst: BaseException | None,
        exctb: TracebackType | None,
    ) -> None:
        if exctype is not None:
            return
        if isinstance(self.output_file, WholeFile):
            self.output_file.write_whole(self._render())
        else:
            with self.output_file.create(overwrite=True) as stream:
                stream.write(self._render())

    def _render(self) -> bytes:
        codec, content = self.compression_codec(), bytes(self._block)
        if codec:
            content, _ = codec.compress(content)
        parts = (_encode_int(self._records), _encode_int(len(content)), content, self.sync_bytes)
        return b"".join((self._render_header(), *parts))

    def _render_header(self) -> bytes:
        name = self.metadata.get(AVRO_CODEC_KEY, TableProperties.WRITE_AVRO_COMPRESSION_DEFAULT)
        own = {
            "avro.schema": _render_schema(self.file_schema, self.schema_name),
            AVRO_CODEC_KEY: CODEC_MAPPING_ICEBERG_TO_AVRO.get(name, name),
        }
        meta = {**self.metadata, **own}
        texts = (_encode_text(text) for pair in meta.items() for text in pair)
        return b"".join((MAGIC, _encode_int(len(meta)), *texts, b"\0", self.sync_bytes))


@remember_results
def _describe_table(schema: Schema, spec: PartitionSpec) -> dict[str, str]:
    return {"schema": schema.model_dump_json(), "partition-spec": to_json(spec.fields).decode()}


def _describe_manifest(writer: ManifestWriter) -> dict[str, str]:
    return {
        **_describe_table(writer._schema, writer._spec),
        "partition-spec-id": str(writer._spec.spec_id),
        "format-version": str(writer.version),
        AVRO_CODEC_KEY: writer._compression,
    }


_make_encoder_once = remember_results(make_encoder)
_build_partition_type = remember_results(PartitionSpec.partition_type)
_construct_writer = remember_results(construct_writer)
_resolve_writer = remember_results(resolve_writer)
_render_schema = remember_results(
    lambda schema, name: json.dumps(AvroSchemaConversion().iceberg_to_avro(schema, schema_name=name))
)


_avro_file: Any = pyiceberg.avro.file
_avro_file.construct_reader = remember_results(construct_reader)
_avro_file.resolve_reader = remember_results(resolve_reader)
_avro_file.construct_writer = lambda file_schema: _construct_writer(file_schema)
_avro_file.resolve_writer = lambda record_schema, file_schema: _resolve_writer(record_schema, file_schema)
PartitionSpec.partition_type = lambda self, schema: _build_partition_type(self, schema)  # type: ignore[method-assign]
AvroFileHeader.get_schema = _get_schema  # type: ignore[assignment, method-assign]
ManifestWriter._with_partition = _get_entry_schema  # type: ignore[assignment, method-assign]
ManifestWriter._meta = property(_describe_manifest)  # type: ignore[assignment, method-assign]
pyiceberg.manifest.AvroOutputFile = _OneBlockFile  # type: ignore[attr-defined]
