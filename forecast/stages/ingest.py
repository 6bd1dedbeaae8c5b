"""Copies the rows of one snapshot, so that all later stages work on the same ones."""

from __future__ import annotations

import pyarrow.parquet as pq

from forecast.manifest import Lineage
from forecast.source_rows import find_span, read_rows
from forecast.stages.stage import Metadata, Work, write_json

ROWS = "rows.parquet"
LINEAGE = "lineage.json"


def run(work: Work) -> Metadata:
    """Write `rows.parquet`, and `lineage.json` with the snapshot that they come from."""
    assert work.pin is not None
    rows = read_rows(work.config, work.pin)
    pq.write_table(rows, work.output / ROWS, compression="zstd")
    first, last = find_span(rows, work.config)
    lineage = Lineage(
        place=work.pin.place,
        ref=work.pin.ref,
        snapshot_id=work.pin.snapshot_id,
        rows=rows.num_rows,
        first=first,
        last=last,
    )
    write_json(work.output / LINEAGE, lineage.model_dump())
    work.log(f"{rows.num_rows:,} rows of {work.pin.place}" + (f", {first} to {last}" if first else ""))
    return {"rows": rows.num_rows, "columns": rows.num_columns, **lineage.model_dump(exclude={"rows"})}
