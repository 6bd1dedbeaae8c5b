"""Parses the dbt project: `python -m millpond.transform.parse_ahead`.

`millpond up` does it beside the start of the other parts; the code server finds the project parsed, or waits.
"""

from __future__ import annotations

from millpond.runtime.garbage import pause_collection, resume_collection
from millpond.settings import settings
from millpond.transform.dbt_import import defer_class_code
from millpond.transform.manifest import load_project_or_last


def main() -> None:
    """Parse the project that the settings name, unless it is parsed."""
    pause_collection()
    defer_class_code()
    import dbt.cli.main

    import millpond.transform.parsing

    assert dbt.cli.main
    assert millpond.transform.parsing
    resume_collection()
    load_project_or_last(settings())


if __name__ == "__main__":
    main()
