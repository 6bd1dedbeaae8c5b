"""HTTP sources: requests, paginators and bodies, and the proof that a listing is complete.

Imports what `ingestion` imports, and its spec. Start reading in `client`, which lists the rows of a table.
"""
