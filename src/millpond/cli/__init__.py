"""The commands, each in one file, which imports what it needs when the command runs.

Imports everything. Start reading in `main`, then `materialize`.
"""
