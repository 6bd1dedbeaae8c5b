"""Read-only queries about runs, assets, checks, alerts and the lake, for dashboard, report, metrics and CLI.

Each answers in a time that depends on what is shown, not on how much history there is: Dagster's event log is
read through its indexes alone. Start reading in `health`, which puts the others together.
"""
