"""Opening a table for a change: its columns evolve to fit the data; a missing table is created."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, MonthTransform
from pyiceberg.types import NestedField

from millpond.errors import SchemaConflict
from millpond.internals.pyiceberg import assign_fresh_schema_ids, convert_schema
from millpond.lake.catalog import LakeCatalog
from millpond.lake.schema import arrow_schema, evolve, find_widest_type, reshape, turn_integers_to_floats
from millpond.lake.spec import TableSpec
from millpond.lake.staging import Staging

_FIRST_PARTITION_FIELD = 1000
_TRANSFORMS = {"month": MonthTransform, "day": DayTransform}


def open_table(
    lake: LakeCatalog,
    location: str | None,
    spec: TableSpec,
    data: Sequence[pa.Schema],
    *,
    whole: bool,
    rewrites: bool = False,
) -> Staging:
    """Return a change to the table at `location` (None: to a new table) whose columns fit the data.

    Where the `whole` table is replaced, its columns become those of spec and data; otherwise columns are
    only added, unless the spec `drops` those that the data lacks. With `rewrites` the caller rewrites all
    rows if the type of a column changes (`Staging.old_schema`). Raises SchemaConflict.
    """
    if location is None:
        return _create_table(lake, spec, data)
    staging = Staging(lake.table_at(spec.name, location), is_new=False)
    before = staging.table_metadata.schema()
    current = arrow_schema(before)
    wanted = turn_integers_to_floats(current, spec.schema) if rewrites and not whole else current
    if wanted != current:
        staging.old_schema = before
    if spec.drops and not whole:
        returned = {name for schema in (spec.schema, *data) for name in schema.names}
        wanted = pa.schema([column for column in wanted if column.name in returned])
    if whole and spec.exact:
        wanted = pa.schema([])
    target = (reshape if whole else evolve)(spec.name, wanted, spec.schema, *data)
    if target != current:
        _drop_columns(staging, spec, current, target)
        _add_columns(staging, spec, target)
    _describe_columns(staging, spec)
    return staging


def _describe_columns(staging: Staging, spec: TableSpec) -> None:
    fields = staging.table_metadata.schema().fields
    changed = {f.name: text for f in fields if (text := spec.comments.get(f.name)) and text != f.doc}
    if changed:
        with staging.update_schema() as update:
            for name, comment in changed.items():
                update.update_column((name,), doc=comment)


def _drop_columns(staging: Staging, spec: TableSpec, current: pa.Schema, target: pa.Schema) -> None:
    gone = [
        f.name
        for f in current
        if f.name not in target.names
        or find_widest_type(f.type, target.field(f.name).type) != target.field(f.name).type
    ]
    metadata = staging.table_metadata
    partitioning = {metadata.schema().find_column_name(f.source_id) for f in metadata.spec().fields}
    if needed := partitioning & set(gone):
        raise SchemaConflict(
            f"{spec.name} is partitioned by {', '.join(map(str, needed))}, which the new rows lack or change",
            unharmed="the table; nothing of this write is visible",
            next_step="bring that column, or drop the table so that it is laid out again",
        )
    if gone:
        with staging.update_schema(allow_incompatible_changes=True) as update:
            for name in gone:
                update.delete_column((name,))


def _add_columns(staging: Staging, spec: TableSpec, target: pa.Schema) -> None:
    current = arrow_schema(staging.table_metadata.schema())
    fresh = {f.name: f.field_type for f in convert_schema(target).fields}
    with staging.update_schema() as update:
        for column in target:
            if column.name not in current.names:
                update.add_column((column.name,), fresh[column.name], doc=spec.comments.get(column.name))
            elif column.type != current.field(column.name).type:
                update.update_column((column.name,), field_type=fresh[column.name])
    if arrow_schema(staging.table_metadata.schema()).names != target.names:
        with staging.update_schema() as update:
            update.move_first((target.names[0],))
            for before, name in pairwise(target.names):
                update.move_after((name,), (before,))


def _create_table(lake: LakeCatalog, spec: TableSpec, data: Sequence[pa.Schema]) -> Staging:
    target = evolve(spec.name, None, spec.schema, *data)
    if not target.names:
        raise SchemaConflict(
            f"{spec.name} would be created without a column",
            unharmed="everything; the table is not there",
            next_step="declare its columns in the spec",
        )
    plain = assign_fresh_schema_ids(convert_schema(target))
    schema = Schema(*(_add_comment(f, spec.comments.get(f.name)) for f in plain.fields))
    properties = {
        "comment": spec.description,
        "millpond.key": ",".join(spec.key),
        "millpond.sort_by": ",".join(spec.sort_by),
        "millpond.window_column": spec.window_column or "",
    }
    partitions = _build_partition_spec(spec, schema)
    given = {name: value for name, value in properties.items() if value}
    return Staging(lake.stage_new(spec.name, schema, partitions, properties=given), is_new=True)


def _build_partition_spec(spec: TableSpec, schema: Schema) -> PartitionSpec:
    if not spec.grain or not spec.window_column:
        return UNPARTITIONED_PARTITION_SPEC
    source = schema.find_field(spec.window_column).field_id
    name = f"{spec.window_column}_{spec.grain}"
    return PartitionSpec(PartitionField(source, _FIRST_PARTITION_FIELD, _TRANSFORMS[spec.grain](), name))


def _add_comment(field: NestedField, comment: str | None) -> NestedField:
    return field.model_copy(update={"doc": comment}) if comment else field
