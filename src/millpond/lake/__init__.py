"""The lake: Iceberg tables whose windows are replaced atomically, and the refs that name sets of them."""
