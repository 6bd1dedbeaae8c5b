"""The command line in this process, as `main` runs it."""

from typed_commands import run, run_as_typed  # noqa: F401 - fixtures
