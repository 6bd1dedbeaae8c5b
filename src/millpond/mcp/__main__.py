"""`python -m millpond.mcp`, as `millpond mcp` starts it."""

from __future__ import annotations

from millpond import redaction
from millpond.alerts.channels import channels
from millpond.mcp.server import serve
from millpond.settings import settings


def main() -> None:
    """Serve an agent over standard input and output."""
    redaction.install()
    channels(settings())  # registers their secrets for redaction
    serve()


if __name__ == "__main__":
    main()
