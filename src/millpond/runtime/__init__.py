"""Starts, supervises and stops the parts that Millpond brings along."""
