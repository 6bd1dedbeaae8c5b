"""Checks that the platform adds to every raw table, and the freshness policy of every asset.

Imports `ingestion`, `transform`, `publish` and what is below them. Start reading in `checks`.
"""
