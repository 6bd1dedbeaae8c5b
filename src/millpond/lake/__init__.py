"""The lake: Iceberg tables whose windows are replaced atomically, and the refs that name sets of them.

Imports `runtime` and what is below it, and no Dagster. Start reading in `tables`, then `refs` and `merge`.
"""
