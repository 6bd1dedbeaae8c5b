"""The dbt project: models are built on a branch of the lake, tested there, and merged.

Imports `resources`, `lake` and what is below them. Start reading in `runner`, then `audit` and `plugin`.
"""
