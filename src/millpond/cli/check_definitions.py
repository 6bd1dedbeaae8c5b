"""Loads the definitions and prints why they do not load: `python -m millpond.cli.check_definitions`."""

from __future__ import annotations

import importlib
import sys


def main() -> int:
    """Return 0 if the definitions load; else print the reason and return 1."""
    from millpond.errors import MillpondError
    from millpond.redaction import redacted
    from millpond.runtime.home import CODE_LOCATION
    from millpond.settings import settings
    from millpond.transform.manifest import load_project

    try:
        load_project(settings())  # the definitions load even if it does not parse, with its last models
        importlib.import_module(CODE_LOCATION).defs.get_repository_def().load_all_definitions()
    except MillpondError as error:
        print(redacted(error.what))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
