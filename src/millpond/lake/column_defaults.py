"""Default values of columns: PyIceberg drops them where it numbers the columns of a new table."""

from __future__ import annotations

from typing import Any

from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.types import ListType, MapType, NestedField, StructType


def keep_defaults(metadata: TableMetadata, given: Any) -> TableMetadata:
    """Return the metadata of a new table with the defaults of the schema that a client gave for it."""
    if not isinstance(given, Schema):
        return metadata
    now = metadata.schema()
    fields = _copy_defaults(now.as_struct(), given.as_struct()).fields
    kept = Schema(*fields, schema_id=now.schema_id, identifier_field_ids=now.identifier_field_ids)
    return metadata.model_copy(update={"schemas": [kept]})


def _copy_defaults(numbered: Any, given: Any) -> Any:
    match numbered:
        case StructType():
            return StructType(
                *(_copy_field(n, g) for n, g in zip(numbered.fields, given.fields, strict=True))
            )
        case ListType():
            element = _copy_defaults(numbered.element_type, given.element_type)
            return ListType(numbered.element_id, element, numbered.element_required)
        case MapType():
            return MapType(
                numbered.key_id,
                _copy_defaults(numbered.key_type, given.key_type),
                numbered.value_id,
                _copy_defaults(numbered.value_type, given.value_type),
                numbered.value_required,
            )
        case _:
            return numbered


def _copy_field(numbered: NestedField, given: NestedField) -> NestedField:
    return NestedField(
        numbered.field_id,
        numbered.name,
        _copy_defaults(numbered.field_type, given.field_type),
        numbered.required,
        numbered.doc,
        given.initial_default,
        given.write_default,
    )
