"""`runner` as the assets call it: in a companion process where a command started one, else in this."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millpond.partitions import Window
from millpond.runtime.companion import call
from millpond.transform.building import Stored
from millpond.transform.results import BuildResult, CheckResult


def build(
    select: Sequence[str],
    window: Window | None,
    *,
    ref: str,
    run_id: str,
    on_event: Callable[[Stored], None],
    full_refresh: bool = False,
) -> BuildResult:
    """Build models; see `runner.build`."""
    options = {"ref": ref, "run_id": run_id, "full_refresh": full_refresh}
    built: BuildResult = call("millpond.transform.runner:build", select, window, on_event=on_event, **options)
    return built


def check(checks: Sequence[tuple[str, str]], *, ref: str) -> list[CheckResult]:
    """Run data tests; see `runner.check`."""
    checked: list[CheckResult] = call("millpond.transform.runner:check", checks, ref=ref)
    return checked
