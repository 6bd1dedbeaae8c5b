"""Dagster runs in this process: a selection of assets over a window, and its progress."""
