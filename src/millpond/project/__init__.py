"""A user's project: what `[tool.millpond]` of its pyproject.toml says, and the template that `init` writes.

Imports nothing but `errors` and `naming`, so that settings can be built on it. Start reading in `config`.
"""
