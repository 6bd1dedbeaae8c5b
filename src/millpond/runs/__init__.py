"""Dagster runs in this process, of a selection of assets over a window, and their progress.

Imports `quality` and what is below it. Start reading in `run`.
"""
