"""`dagster asset materialize` leaves out what nothing materializes, such as dbt's exposures downstream."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._cli import asset as command

from millpond.internals.dagster import leave_out_external_assets


@dg.asset
def mart() -> None: ...


@dg.asset(deps=[mart])
def summary() -> None: ...


def test_a_selection_downstream_holds_no_external_assets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "AssetSelection", dg.AssetSelection)
    dashboard = dg.AssetSpec(dg.AssetKey(["exposures", "dashboard"]), deps=[mart])
    graph = dg.Definitions(assets=[mart, summary, dashboard]).get_repository_def().asset_graph
    downstream = command.AssetSelection.from_coercible(["mart*"])
    assert dashboard.key in downstream.resolve(graph), "as Dagster has it, and then fails"
    for _ in range(2):  # the code is loaded twice: by the command and by its run
        leave_out_external_assets()
        chosen = command.AssetSelection.from_coercible(["mart*"])
        assert chosen.resolve(graph) == {mart.key, summary.key}
