"""The ready dashboard for Grafana uses only metrics that are served, and every metric is used or derived."""

from __future__ import annotations

import json
import re
from pathlib import Path

from millpond.observability.metrics import METRICS

BOARD = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())


def test_each_metric_of_the_grafana_dashboard_is_served_and_each_served_one_is_on_it() -> None:
    expressions = " ".join(target["expr"] for panel in BOARD["panels"] for target in panel["targets"])
    timestamp = "millpond_asset_last_materialization_timestamp_seconds"  # the same as the age
    assert set(re.findall(r"millpond_\w+", expressions)) == METRICS.keys() - {timestamp}


def test_its_panels_do_not_overlap_and_take_the_data_source_that_is_chosen() -> None:
    cells = [
        (x, y)
        for panel in BOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {"${datasource}"}
