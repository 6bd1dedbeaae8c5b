"""Dagster runs in this process: a selection of assets over a window, and its progress.

Imports `quality` and what is below it. Start reading in `run`.
"""
