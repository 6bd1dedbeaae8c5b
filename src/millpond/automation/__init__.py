"""Automation: conditions, schedules and sensors, and how they are paused.

Imports everything but `cli`, `alerts` and `backfill`. Start reading in `sensors`, then `chains` and
`conditions`.
"""
