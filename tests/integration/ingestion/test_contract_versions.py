"""A changed contract makes the days that were loaded by the former one stale, and no others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContext

from millpond.ingestion.assets import build_assets
from millpond.ingestion.spec import SourceSpec

DAYS = ("2026-11-01", "2026-11-02", "2026-11-03")
ASSET = dg.AssetKey("dlt_cells")


class Loading(LoadingContext):
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance, self._loaders = instance, dict[Any, Any]()

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict[Any, Any]:
        return self._loaders


def cells(start: dt.datetime) -> list[dict[str, Any]]:
    return [{"id": 1, "at": start.isoformat(), "volts": 3}]


def assets(**more: Any) -> list[dg.AssetsDefinition]:
    table = {
        "name": "cells",
        "resource": cells,
        "key": ["id"],
        "event_time": {"column": "at"},
        "columns": {"id": "int", "at": "timestamp", "volts": {"type": "int", **more.pop("volts", {})}},
        **more,
    }
    return build_assets([SourceSpec.model_validate({"source": "cells", "tables": [table]})])


@contextmanager
def two_days_loaded() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        for day in DAYS[:2]:
            assert dg.materialize(assets(), instance=instance, partition_key=day).success
        yield instance


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """Yield an instance with two loaded days, which the tests only read: a load takes seconds."""
    with two_days_loaded() as instance:
        yield instance


def stale(instance: dg.DagsterInstance, found: list[dg.AssetsDefinition]) -> list[str]:
    graph = dg.Definitions(assets=found).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, Loading(instance))
    return [day for day in DAYS if resolver.get_status(ASSET, day) == StaleStatus.STALE]


@pytest.mark.parametrize(
    "change",
    [
        {"volts": {"max": 2}},
        {"volts": {"type": "number"}},
        {"volts": {"required": True}},
        {"key": ["id", "volts"]},
        {"unknown_columns": "ignore"},
    ],
)
def test_a_changed_contract_makes_the_loaded_days_stale(
    instance: dg.DagsterInstance, change: dict[str, Any]
) -> None:
    assert stale(instance, assets(**change)) == list(DAYS[:2])


@pytest.mark.parametrize(
    "change",
    [{}, {"description": "new"}, {"volts": {"description": "new"}}, {"owner": "team:cells"}],
)
def test_what_changes_no_row_makes_no_day_stale(instance: dg.DagsterInstance, change: dict[str, Any]) -> None:
    assert stale(instance, assets(**change)) == []


def test_a_day_is_fresh_once_it_was_loaded_by_the_new_contract(home: object) -> None:
    changed = assets(volts={"max": 9})
    with two_days_loaded() as instance:
        assert dg.materialize(changed, instance=instance, partition_key=DAYS[0]).success
        assert stale(instance, changed) == [DAYS[1]]


def test_days_loaded_before_contracts_had_versions_are_not_stale(home: object) -> None:
    with dg.instance_for_test() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition=DAYS[0]))
        assert stale(instance, assets()) == []
