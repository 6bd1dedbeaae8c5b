"""A step of several assets of which each has its own look-back on what the step reads."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Self

import dagster as dg


def without_mappings(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Return the spec with its dependencies alone, without their partition mappings."""
    return spec.replace_attributes(deps=[dep.asset_key for dep in spec.deps])


class ModelsDefinition(dg.AssetsDefinition):
    """Assets of one step, each with the partition mappings of its own spec.

    Dagster takes mappings from the step where it runs, and keeps one for each table that the step reads. So
    two models that look back different numbers of days on one table could not be in one step, and a run
    without partitions of what is built whole would fail where a daily model looks back. What is planned
    goes by the specs: there each asset keeps its mappings, and the step has none.
    """

    def __init__(self, *, specs: Iterable[dg.AssetSpec] = (), **attributes: Any) -> None:
        specs = list(specs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)  # of attributes that Dagster itself hands on
            super().__init__(specs=list(map(without_mappings, specs)), **attributes)
        plain, deps = super().specs_by_key, {spec.key: spec.deps for spec in specs}
        self._own_specs = {key: plain[key].replace_attributes(deps=deps[key]) for key in plain}

    @classmethod
    def of(cls, step: dg.AssetsDefinition, specs: Iterable[dg.AssetSpec]) -> Self:
        """Return the step with these specs, which have mappings where its own have none."""
        return cls(**{**step.get_attributes_dict(), "specs": specs})

    @staticmethod
    def dagster_internal_init(**attributes: Any) -> "ModelsDefinition":
        """Return what Dagster makes of a step when it takes a part of it or changes its specs."""
        return ModelsDefinition(**attributes)

    @property
    def specs(self) -> Iterable[dg.AssetSpec]:
        """Return the specs of the assets, with their partition mappings."""
        return self._own_specs.values()

    @property
    def specs_by_key(self) -> Mapping[dg.AssetKey, dg.AssetSpec]:
        """Return the specs by asset key, with their partition mappings."""
        return self._own_specs
