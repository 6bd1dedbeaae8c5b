"""From sources to the raw layer: specs in `sources/` become requests, pages, valid rows and one commit.

Imports `resources`, `lake` and what is below them, in `assets` alone Dagster. Start reading in `load`; what
may be declared is in `spec`.
"""
