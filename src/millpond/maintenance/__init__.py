"""Maintenance: what keeps the state of an installation small, as tasks that a command and a job run.

Imports everything but `cli` and what shows the platform. Start reading in `tasks`, the list of them.
"""
