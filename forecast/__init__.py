"""A model pipeline on the lake: its stages, the gate before a model serves, and serving.

Start reading in `pipeline`, which lists the stages; a file in `config/` says what they work on.
"""
