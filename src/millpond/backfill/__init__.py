"""Backfills: a plan of what is missing, failed or stale, and its execution in few runs, kept in a ledger.

Imports `runs` and what is below it. Start reading in `planner`, then `engine`.
"""
