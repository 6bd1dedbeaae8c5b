"""Stand-in until the real view is merged."""

from typing import Any

from millpond.backfill.plan import Plan


def print_plan(plan: Plan) -> None:
    """Print how much is to do."""
    print(f"{sum(1 for _ in plan.todo())} of {len(plan.items)} partitions in {len(plan.chunks)} runs")


def plan_json(plan: Plan) -> Any:
    """Return the plan as plain data."""
    return {"items": plan.items, "chunks": plan.chunks}
