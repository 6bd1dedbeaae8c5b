"""From sources to the raw layer: specs in `sources/` become staged rows, valid rows and one commit.

`reader` is the seam between kinds of sources: `rest`, `files`, `sql` and `resource` stage rows; `validation`,
`load` and `upsert` are shared. Imports `resources`, `lake` and what is below them, in `assets` alone Dagster.
Start reading in `load`; what may be declared is in `spec` and `table_spec`.
"""
