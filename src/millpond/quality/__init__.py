"""Checks that the platform adds to every raw table, and the freshness that every asset promises."""
