"""Millpond: a lakehouse platform in a box."""
