"""Sources that are files: a folder, an S3 prefix or any address that fsspec opens.

Imports what `ingestion` imports, and its spec. Start reading in `reader`; what may be declared is in `spec`.
"""
