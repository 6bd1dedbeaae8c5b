"""Starts, supervises and stops the embedded parts: Postgres, the catalog, Dagster, the alert dispatcher.

Imports `settings`, `notices` and what is below them, and no Dagster. Start reading in `supervisor`, then
`databases`.
"""
