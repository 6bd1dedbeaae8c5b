"""Opening a table for a change: the one there is, its columns evolved, or a new one."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.transforms import DayTransform, MonthTransform
from pyiceberg.types import NestedField

from millpond.errors import SchemaConflict
from millpond.lake.catalog import LakeCatalog
from millpond.lake.schema import arrow_schema, evolved, stage
from millpond.lake.spec import TableSpec
from millpond.lake.staging import Staging

_FIRST_PARTITION_FIELD = 1000
_TRANSFORMS = {"month": MonthTransform, "day": DayTransform}


def opened(lake: LakeCatalog, location: str | None, spec: TableSpec, data: Sequence[pa.Schema]) -> Staging:
    """Return a change to the table at `location` (None: to a new table) that has room for the data.

    Raises SchemaConflict.
    """
    if location is None:
        return _new(lake, spec, data)
    staging = Staging(lake.table_at(spec.name, location), is_new=False)
    current = arrow_schema(staging.table_metadata.schema())
    target = evolved(spec.name, current, spec.schema, *data)
    if target != current:
        with staging.update_schema() as update:
            stage(update, current, target, spec.comments)
    return staging


def _new(lake: LakeCatalog, spec: TableSpec, data: Sequence[pa.Schema]) -> Staging:
    target = evolved(spec.name, None, spec.schema, *data)
    if not target.names:
        raise SchemaConflict(
            f"{spec.name} would be created without a column",
            unharmed="everything; the table is not there",
            next_step="declare its columns in the spec",
        )
    plain = assign_fresh_schema_ids(Catalog._convert_schema_if_needed(target))
    schema = Schema(*(_commented(f, spec.comments.get(f.name)) for f in plain.fields))
    properties = {
        "comment": spec.description,
        "millpond.key": ",".join(spec.key),
        "millpond.sort_by": ",".join(spec.sort_by),
        "millpond.window_column": spec.window_column or "",
    }
    told = {name: value for name, value in properties.items() if value}
    return Staging(lake.stage_new(spec.name, schema, _partitions(spec, schema), properties=told), is_new=True)


def _partitions(spec: TableSpec, schema: Schema) -> PartitionSpec:
    if not spec.grain or not spec.window_column:
        return UNPARTITIONED_PARTITION_SPEC
    source = schema.find_field(spec.window_column).field_id
    name = f"{spec.window_column}_{spec.grain}"
    return PartitionSpec(PartitionField(source, _FIRST_PARTITION_FIELD, _TRANSFORMS[spec.grain](), name))


def _commented(field: NestedField, comment: str | None) -> NestedField:
    return field.model_copy(update={"doc": comment}) if comment else field
