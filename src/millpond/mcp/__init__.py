"""A server of the Model Context Protocol: agents read the lake, and write to branches only.

Start reading in `server`. Its package `mcp` is in an environment of its own, see `runtime.environments`.
"""
