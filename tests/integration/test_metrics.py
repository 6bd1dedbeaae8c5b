"""Metrics are in Prometheus' text format, whatever names and states there are, and are read quickly."""

from __future__ import annotations

import re

import dagster as dg

from millpond.observability.metrics import METRICS, Sample, format_samples, render_metrics

_LINE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (-?[\d.e+-]+)')


def parse(text: str) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = _LINE.fullmatch(line)
            assert match, line
            found.setdefault(match[1], []).append((match[2] or "", float(match[3])))
    return found


def test_labels_are_escaped_and_each_metric_is_declared_once() -> None:
    text = format_samples(
        [
            Sample("millpond_asset_rows", {"asset": 'a"b\\c\nd'}, 3),
            Sample("millpond_database_up", {"database": "ops"}, True),
            Sample("millpond_asset_rows", {"asset": "e"}, 0.5),
        ]
    )
    assert text.splitlines() == [
        f"# HELP millpond_database_up {METRICS['millpond_database_up']}",
        "# TYPE millpond_database_up gauge",
        'millpond_database_up{database="ops"} 1',
        f"# HELP millpond_asset_rows {METRICS['millpond_asset_rows']}",
        "# TYPE millpond_asset_rows gauge",
        r'millpond_asset_rows{asset="a\"b\\c\nd"} 3',
        'millpond_asset_rows{asset="e"} 0.5',
    ]


def test_what_dagster_records_is_a_metric(recorded: dg.DagsterInstance) -> None:
    asset, check = dg.AssetKey(["marts", "x"]), "unique"

    @dg.asset(key=asset, check_specs=[dg.AssetCheckSpec(check, asset=asset)])
    def x() -> dg.MaterializeResult:  # type: ignore[type-arg]
        result = dg.AssetCheckResult(passed=False, check_name=check)
        return dg.MaterializeResult(metadata={"rows": 7}, check_results=[result])

    assert dg.materialize([x], instance=recorded).success
    found = parse(render_metrics())
    assert ('asset="marts/x"', 7) in found["millpond_asset_rows"]
    assert ('asset="marts/x"', 1) in found["millpond_checks_failing"]
    assert ('status="success"', 1) in found["millpond_runs_last_day"]
    assert found["millpond_backfills_running"] == [("", 0)]
    assert {('database="dagster"', 1), ('database="ops"', 1)} == set(found["millpond_database_up"])
    (age,) = found["millpond_asset_age_seconds"]
    assert 0 <= age[1] < 60
