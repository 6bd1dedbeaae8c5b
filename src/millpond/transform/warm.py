"""What the first build of a process spends on importing and warming dbt, done before it is asked for."""

from __future__ import annotations

from millpond.settings import settings
from millpond.transform import engine
from millpond.transform.invocation import OFFLINE, invoke
from millpond.transform.manifest import current


def warm_up() -> None:
    """Bring in dbt and the lake, read the manifest, have dbt compile a model; opens no connection."""
    from millpond.transform.lean_classes import lighten

    lighten()
    from millpond.internals.dagster_on_demand import dbt_cli_event
    from millpond.transform import runner

    assert runner
    assert dbt_cli_event
    configured = settings()
    engine.of(configured).warm_up()
    parsed = current(configured)
    parsed.document(), parsed.models(), parsed.checks(), parsed.translator()
    invoke(
        ["compile", "--select", "resource_type:model", *OFFLINE],
        settings=configured,
        target=engine.of(configured).target,
        project=parsed.project,
        manifest=parsed.warm(),
    )
