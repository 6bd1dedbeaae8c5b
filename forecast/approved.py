"""The approved model as an asset that nothing materializes: a person's decision is what changes it."""

from __future__ import annotations

import dagster as dg

from forecast.assets import GROUP, stage_key
from forecast.registry import Decision, find_serving, read_decisions
from forecast.spec import list_configs

_VERSION = "dagster/data_version"


def approved_key(name: str) -> dg.AssetKey:
    """Return the key of the asset that stands for the approved model of a configuration."""
    return dg.AssetKey(f"forecast_approved_{name}")


def build_approved_specs() -> list[dg.AssetSpec]:
    """Return an external asset for each configuration."""
    return [
        dg.AssetSpec(
            approved_key(name),
            deps=[stage_key("package")],
            group_name=GROUP,
            kinds={"python"},
            owners=["team:health"],
            description=f"The model of {name} that serves. `millpond forecast approve` and `rollback` set it:"
            " their decisions are its materializations. Nothing changes it by itself.",
        )
        for name in list_configs()
    ]


def record_approved(instance: dg.DagsterInstance, name: str) -> Decision | None:
    """Report the model that serves to Dagster, unless its record has it; returns its approval, or None.

    Days that another model forecast are stale from then on. A process that ends between a decision and its
    report leaves the report to the next call.
    """
    decisions = read_decisions(name)
    serving = find_serving(decisions)
    if serving is None:
        return None
    event = instance.get_latest_materialization_event(approved_key(name))
    last = event.asset_materialization if event else None
    if last is None or (last.tags or {}).get(_VERSION) != serving.model:
        latest = decisions[-1]
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                approved_key(name),
                metadata={
                    "model": serving.model,
                    "action": latest.action,
                    "decided_by": latest.decided_by,
                    "reason": latest.reason,
                    "number": latest.number,
                },
                tags={_VERSION: serving.model, f"{_VERSION}_is_user_provided": "true"},
            )
        )
    return serving
