"""The servers by hand: see the package's text."""

from __future__ import annotations

import sys
from pathlib import Path

from servers import spark, stack
from servers.tools import Missing


def main(arguments: list[str]) -> str | None:
    """Run one command; returns what went wrong."""
    try:
        match arguments:
            case ["install"]:
                stack.install()
            case ["install", "clients"]:
                spark.install()
            case ["start", folder]:
                for name, value in stack.running(Path(folder).resolve()).settings().items():
                    print(f"export {name}={value}")
            case ["stop", folder]:
                stack.stop(Path(folder).resolve())
            case _:
                return "usage: python -m servers install [clients] | start FOLDER | stop FOLDER"
    except Missing as missing:
        return str(missing)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
