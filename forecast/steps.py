"""What runs by itself and what waits for a person, with the reasons, for the dashboard and the docs."""

from __future__ import annotations

from typing import Final, NamedTuple


class Step(NamedTuple):
    """A step on the way of a model: `starts` is a schedule or a command."""

    name: str
    automatic: bool
    starts: str
    why: str


STEPS: Final = (
    Step(
        "ingest, validate, features, train, evaluate",
        True,
        "Mondays at 05:00, and `millpond forecast run`",
        "It can be repeated with the same result, and readers see none of it.",
    ),
    Step(
        "package",
        True,
        "after evaluate",
        "The model only waits. One that misses a threshold is blocked, and the one before keeps serving.",
    ),
    Step(
        "approval of a model, and of its report",
        False,
        "`millpond forecast approve`",
        "Thresholds know the past. Whether a forecast about health is fit for use needs a name and a reason.",
    ),
    Step(
        "forecasts of each day",
        True,
        "with each load of readings",
        "Only the approved model is used, and its files are checked each time.",
    ),
    Step(
        "forecasts of past days by a new model",
        False,
        "`millpond backfill`",
        "What was published does not change in silence. The days are shown as stale.",
    ),
    Step(
        "return to the model before",
        False,
        "`millpond forecast rollback`",
        "A bad week may lie in the data, not in the model. Alerts say when to look.",
    ),
)
