"""The commands; each is one file that imports what it needs when it is called.

May import everything. Start reading in `main`, then `materialize`.
"""
