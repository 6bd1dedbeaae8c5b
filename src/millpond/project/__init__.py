"""A user's project: `[tool.millpond]` in its pyproject.toml, and the template that `millpond init` writes.

Imports nothing but `errors` and `naming`, so that settings can be built on it. Start reading in `config`.
"""
