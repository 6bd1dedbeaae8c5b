"""Sources that are databases, by SQLAlchemy address.

Imports what `ingestion` imports, and its spec. Start reading in `reader`; what may be declared is in `spec`.
"""
