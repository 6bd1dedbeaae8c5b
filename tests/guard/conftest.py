"""Fixtures of the counts: the command line in this process."""

from typed_commands import run, run_as_typed  # noqa: F401 - fixtures
