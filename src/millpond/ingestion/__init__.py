"""From sources to the raw layer: specs in `sources/` become requests, pages, checked rows and one commit."""
