"""Runs pages of the dashboard as Streamlit does, without a browser, with the Python of its environment.

Reads a JSON list `[page, parameters of the address]` a line, writes what the page shows as one line of JSON:
a list of `[kind, text]` in the order of the page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import millpond.dashboard

MAIN = Path(millpond.dashboard.__file__).parent / "script" / "main.py"
SECONDS = 120


def main() -> None:
    """Answer until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        page, parameters = json.loads(line)
        print(json.dumps(run_page(page, parameters)), file=answers, flush=True)


def run_page(page: str, parameters: dict[str, list[str]]) -> list[tuple[str, str]]:
    """Return what a page shows."""
    app = AppTest.from_file(str(MAIN), default_timeout=SECONDS)
    app._page_hash = calc_hash("" if page == "overview" else page)
    app.query_params |= parameters
    app.run()
    return [(element.type, describe(element)) for element in app.main if not hasattr(element, "children")]


def describe(element: Any) -> str:
    """Return what an element says."""
    proto = element.proto
    if element.type == "dataframe":
        return str(proto.arrow_data.data.decode("utf-8", "ignore"))
    if element.type == "exception":
        return f"{proto.type}: {proto.message}"
    if getattr(proto, "allow_html", False):
        return f"HTML: {proto.body}"
    if element.type == "plotly_chart":
        return str(proto.spec)
    if element.type == "metric":
        return f"{proto.label}: {proto.body}"
    return next(
        (text for name in ("body", "label", "text") if (text := getattr(proto, name, ""))), str(proto)
    )


if __name__ == "__main__":
    main()
