"""`millpond sources new --kind rest` proposes only a filter by time that it has seen to filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fake_source import Answer, FakeSource, Request, rows_as_json
from new_sources import Run, new, table_of
from paged_shop import ORDERS

Serve = Callable[[Request], Answer]


def filtering(*names: str, rows: list[dict[str, Any]] = ORDERS, most: int = 1000) -> Serve:
    """Return a server with the filters `names`: a lower bound, and an upper one if there are two."""

    def serve(request: Request) -> Answer:
        bounds = [request.query.get(name) for name in names]
        low, high = (bounds[0] if names else None) or "", (bounds[1] if len(names) > 1 else None) or "9"
        found = [row for row in rows if low[:19] <= row["ordered_at"][:19] < high[:19]]
        return rows_as_json(found[:most])

    return serve


@pytest.mark.parametrize(
    ("serve", "window"),
    [
        (filtering("since", "until"), {"params": {"since": "{start_iso}", "until": "{end_iso}"}}),
        (
            filtering("ordered_after", "ordered_before"),
            {"params": {"ordered_after": "{start_iso}", "ordered_before": "{end_iso}"}},
        ),
        (filtering("since"), {"params": {"since": "{start_iso}"}, "margin": "36500d"}),
        (filtering(), {"reach": {"rows": 10_000, "days": 365}}),
        (filtering(rows=ORDERS[:2]), {"reach": {"rows": 10_000, "days": 365}}),
        (filtering(rows=[ORDERS[1], ORDERS[0]]), None),
        (filtering(rows=[ORDERS[1], ORDERS[0], ORDERS[2]]), None),
        (filtering("nothing", "until", rows=ORDERS[::-1]), None),
    ],
    ids=["both", "by the time's name", "lower", "none", "few rows", "few, no order", "no order", "upper"],
)
def test_only_a_filter_that_leaves_out_rows_before_and_after_is_proposed(
    new_project: Path, shop: FakeSource, run: Run, serve: Serve, window: Any
) -> None:
    shop.serve = serve
    found = new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    assert table_of(found).get("window") == window
    assert found["preview"]["failed"] == {}
    assert table_of(found).get("load") == (None if window else "whole")
    if window is None:
        assert any("a parameter that filters by ordered_at, and name it" in n for n in found["notes"])
