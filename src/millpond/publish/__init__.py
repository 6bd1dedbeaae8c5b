"""From the lake to Postgres: gold tables become marts that readers never see empty or half written.

Imports `resources`, `lake` and what is below them. Start reading in `publication`.
"""
