"""Looks at a system that data may come from, and proposes a source with its table and bronze model.

Start reading in `inspect`, which picks the module of the kind; each returns a `Proposal`.
"""
