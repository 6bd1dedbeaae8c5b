"""Parses the dbt project: `python -m millpond.transform.parse_ahead`.

`millpond up` does it beside the start of the code server, which then finds the project parsed, or waits.
"""

from __future__ import annotations

from millpond.settings import settings
from millpond.transform.manifest import load_project_or_last

if __name__ == "__main__":
    load_project_or_last(settings())
