"""Manifests as we encode them: byte by byte what PyIceberg's writers append, and read back as written."""

from __future__ import annotations

import io
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.resolver import construct_writer, resolve_writer
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    UUIDType,
)

from millpond.internals.pyiceberg_avro import make_encoder

LONGS = st.integers(-(1 << 63), (1 << 63) - 1)
COUNTS = st.dictionaries(st.integers(1, 2_000), st.integers(0, 1 << 40), max_size=6)
BOUNDS = st.dictionaries(st.integers(1, 2_000), st.binary(max_size=20), max_size=6)
PRIMITIVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (BooleanType(), st.booleans()),
    (IntegerType(), st.integers(-(1 << 31), (1 << 31) - 1)),
    (LongType(), LONGS),
    (FloatType(), st.floats(width=32)),
    (DoubleType(), st.floats()),
    (DateType(), st.integers(-1_000_000, 1_000_000)),
    (TimestampType(), LONGS),
    (StringType(), st.text()),
    (UUIDType(), st.uuids()),
    (BinaryType(), st.binary()),
]


@st.composite
def kinds_with_values(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """Draw a type, and the strategy of its values."""
    shape = draw(st.sampled_from(["primitive", "list", "map", "struct"] if depth else ["primitive"]))
    if shape == "primitive":
        return draw(st.sampled_from(PRIMITIVES))
    inner, values = draw(kinds_with_values(depth - 1))
    if shape == "list":
        return ListType(1, inner, element_required=True), st.lists(values, max_size=4)
    if shape == "map":
        key, keys = draw(st.sampled_from([PRIMITIVES[1], PRIMITIVES[7]]))
        return MapType(2, key, 3, inner, value_required=True), st.dictionaries(keys, values, max_size=4)
    required = draw(st.booleans())
    value = values if required else st.none() | values
    return StructType(NestedField(4, "field", inner, required=required)), value.map(Record)


@given(st.data())
def test_values_of_any_type_are_encoded_as_pyiceberg_encodes_them(data: st.DataObject) -> None:
    kind, values = data.draw(kinds_with_values())
    writer = construct_writer(Schema(NestedField(1, "value", kind, required=True)))
    value = Record(data.draw(values))
    expected, encoded = io.BytesIO(), bytearray()
    writer.write(BinaryEncoder(expected), value)
    make_encoder(writer)(encoded, value)
    assert bytes(encoded) == expected.getvalue()


def test_a_default_that_is_not_in_the_record_is_encoded_as_pyiceberg_encodes_it() -> None:
    shown = Schema(NestedField(1, "a", LongType(), required=True))
    stored = Schema(*shown.fields, NestedField(2, "b", StringType(), required=True, write_default="d"))
    writer = resolve_writer(record_schema=shown, file_schema=stored)
    expected, encoded = io.BytesIO(), bytearray()
    writer.write(BinaryEncoder(expected), Record(7))
    make_encoder(writer)(encoded, Record(7))
    assert bytes(encoded) == expected.getvalue()


@st.composite
def entries(draw: st.DrawFn, partitions: st.SearchStrategy[Any]) -> ManifestEntry:
    """Draw an entry of a manifest of the snapshot 7."""
    status = draw(st.sampled_from(ManifestEntryStatus))
    added = status == ManifestEntryStatus.ADDED
    number = None if added else draw(st.integers(1, 1 << 30))
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"file:///tmp/{draw(st.uuids())}.parquet",
        file_format=FileFormat.PARQUET,
        partition=Record(draw(partitions)),
        record_count=draw(st.integers(0, 1 << 40)),
        file_size_in_bytes=draw(st.integers(0, 1 << 40)),
        column_sizes=draw(st.none() | COUNTS),
        value_counts=draw(st.none() | COUNTS),
        null_value_counts=draw(COUNTS),
        nan_value_counts=draw(COUNTS),
        lower_bounds=draw(BOUNDS),
        upper_bounds=draw(BOUNDS),
        split_offsets=draw(st.none() | st.lists(st.integers(0, 1 << 40), max_size=3)),
    )
    return ManifestEntry.from_args(
        status=status,
        snapshot_id=7 if added else draw(st.integers(1, 1 << 62)),
        sequence_number=number,
        file_sequence_number=number,
        data_file=file,
    )


@pytest.mark.parametrize("codec", ["gzip", "zstd", "null"])
@given(data=st.data())
def test_manifests_and_their_list_are_read_back_as_they_were_written(codec: Any, data: st.DataObject) -> None:
    kind, values = data.draw(st.sampled_from([PRIMITIVES[1], PRIMITIVES[7]]))
    schema = Schema(NestedField(1, "of", kind, required=False))
    spec = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "of"), spec_id=3)
    written = data.draw(st.lists(entries(st.none() | values), min_size=1, max_size=5))
    place = f"file://{tempfile.gettempdir()}/millpond-avro-{uuid.uuid4().hex}"
    files = PyArrowFileIO()
    try:
        with write_manifest(2, spec, schema, files.new_output(f"{place}.avro"), 7, codec) as writer:
            for entry in written:
                writer.add_entry(entry)
        manifest = writer.to_manifest_file()
        with write_manifest_list(2, files.new_output(f"{place}-list.avro"), 7, 6, 9, codec) as listing:
            listing.add_manifests([manifest])
        (listed,) = read_manifest_list(files.new_input(f"{place}-list.avro"))
        found = listed.fetch_manifest_entry(files, discard_deleted=False)
    finally:
        for end in (".avro", "-list.avro"):
            Path(f"{place.removeprefix('file://')}{end}").unlink(missing_ok=True)
    assert _show(listed) == _show(manifest)
    for entry, back in zip(written, found, strict=True):
        if entry.status == ManifestEntryStatus.ADDED:
            entry.sequence_number = entry.file_sequence_number = 9
        entry.data_file.spec_id = 3
        assert _show(back) == _show(entry)


def _show(record: ManifestEntry | ManifestFile) -> list[Any]:
    return [each._data if isinstance(each, DataFile) else each for each in record._data]
