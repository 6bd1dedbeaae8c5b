"""alerts.yaml is understood, and refused with the place where it is wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from millpond.alerts.alert import Alert
from millpond.alerts.routing import Routing, read_routing
from millpond.errors import ConfigError

NOON, NIGHT = dt.datetime(2026, 11, 1, 12), dt.datetime(2026, 11, 1, 23, 30)
ALERT = Alert(
    "run_failed", "s", "k", "t", assets=("dlt_climate",), owners=("team:growing",), tags=("layer=raw",)
)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"kind": "run_*"}, True),
        ({"severity": ["critical", "error"]}, True),
        ({"severity": "critical"}, False),
        ({"asset": "dlt_*", "owner": "team:growing"}, True),
        ({"asset": "dlt_*", "owner": "team:code"}, False),
        ({"tag": "layer=raw"}, True),
        ({"between": "08:00-20:00"}, True),
        ({"between": "22:00-07:00"}, False),
    ],
)
def test_a_route_fits_when_all_that_it_names_fits(match: dict[str, Any], fits: bool) -> None:
    routing = Routing.model_validate({"routes": [{"match": match, "to": ["slack"]}]})
    assert routing.channels(ALERT, NOON) == (["log", "slack"] if fits else ["log"])


def test_a_span_of_time_may_pass_midnight() -> None:
    routing = Routing.model_validate({"routes": [{"match": {"between": "22:00-07:00"}, "to": ["pagerduty"]}]})
    assert routing.channels(ALERT, NIGHT) == ["log", "pagerduty"]


def test_the_first_route_decides_unless_it_says_continue() -> None:
    routes: list[dict[str, Any]] = [{"to": ["slack"]}, {"to": ["email"]}]
    assert Routing.model_validate({"routes": routes}).channels(ALERT, NOON) == ["log", "slack"]
    routes[0]["continue"] = True
    assert Routing.model_validate({"routes": routes}).channels(ALERT, NOON) == ["log", "slack", "email"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("routes: [{to: [slak]}]", "slak is not a channel"),
        ("routes: [{match: {kind: run_fialed}, to: [slack]}]", "run_fialed matches no kind"),
        ("routs: []", "routs"),
        ("routes: [", "alerts.yaml"),
        ("summary_at: noon", "summary_at"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(
    tmp_path: Path, configure: Any, text: str, named: str
) -> None:
    (tmp_path / "alerts.yaml").write_text(text)
    with pytest.raises(ConfigError, match=named):
        read_routing(configure(alerts_file=tmp_path / "alerts.yaml"))


def test_without_a_file_everything_goes_everywhere(tmp_path: Path, configure: Any) -> None:
    routing = read_routing(configure(alerts_file=tmp_path / "none.yaml"))
    assert {"slack", "email", "pagerduty"} <= set(routing.channels(ALERT, NOON))
