"""`dagster asset materialize` leaves out what its run cannot hold: dbt's exposures, other partitions."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._cli import asset as command

from millpond.internals.dagster import leave_out_unfit_assets


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
        leave_out_unfit_assets("own_partitions")
        chosen = command.AssetSelection.from_coercible(["mart*"])
        assert chosen.resolve(graph) == {mart.key, summary.key}


def test_assets_with_other_partitions_are_left_out_beside_those_with_days_and_taken_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "AssetSelection", dg.AssetSelection)
    kinds = dg.StaticPartitionsDefinition(["red"])

    @dg.asset(partitions_def=kinds, deps=[mart], metadata={"own_partitions": True})
    def model() -> None: ...

    graph = dg.Definitions(assets=[mart, summary, model]).get_repository_def().asset_graph
    leave_out_unfit_assets("own_partitions")

    def choose(*selection: str, listing: bool = False) -> set[dg.AssetKey]:
        found = command.AssetSelection.from_coercible(list(selection))
        return set(found.resolve(graph, allow_missing=listing))

    assert choose("mart*") == choose("*") == {mart.key, summary.key}
    assert choose("model") == {model.key}
    assert choose("*", listing=True) == {mart.key, summary.key, model.key}
    assert set(command.AssetSelection.all().resolve(graph)) == {mart.key, summary.key}
