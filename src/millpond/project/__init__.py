"""A user's project: what `[tool.millpond]` of its pyproject.toml says, and the template that `init` writes.

Start reading in `config`. Imports nothing but `errors`, so that settings can be built on it.
"""
