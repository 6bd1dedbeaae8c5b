"""What follows from a run that failed in part: what is settled, what is halved, what is tried again."""

import datetime as dt

import pytest

from millpond.backfill.ledger_chunks import Outcome, PartitionState
from millpond.backfill.pieces import Key, Piece, group_pieces
from millpond.backfill.run_results import ATTEMPTS, Failure, RunResults, evaluate_run
from millpond.cli.backfill_display import Tally
from millpond.partitions import Window

FIRST = dt.date(2026, 10, 1)
WEEK = Window.of_days(FIRST, FIRST + dt.timedelta(days=6))
CHAIN = {"raw": set(), "silver": {"raw"}, "gold": {"silver"}, "other": set(), "mart": {"gold"}}
DONE = Outcome(PartitionState.DONE)


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def judged(
    piece: Piece, done: list[Key], *failures: Failure, had: frozenset[Key] = frozenset()
) -> RunResults:
    return evaluate_run(piece, dict.fromkeys(done, DONE), failures, CHAIN, had.__contains__)


def days(asset: str, window: Window = WEEK) -> list[Key]:
    return [(asset, day) for day in window.days]


def test_partitions_become_the_fewest_runs_whole_assets_last_but_for_early_ones() -> None:
    keys: list[Key] = [("mart", None), ("calendar", None), *days("raw"), ("silver", day(3))]
    assert group_pieces(keys, early=["calendar"]) == [
        Piece(("calendar",), None, early=True),
        Piece(("raw",), Window(day(0), day(3))),
        Piece(("raw", "silver"), Window.of_day(day(3))),
        Piece(("raw",), Window(day(4), day(7))),
        Piece(("mart",), None),
    ]


def test_a_run_that_made_everything_settles_everything() -> None:
    piece = Piece(("raw", "silver"), WEEK)
    found = judged(piece, [*days("raw"), *days("silver")])
    assert found.again == []
    assert set(found.settled) == set(piece.keys)


def test_a_failure_that_names_its_days_settles_them_and_lets_the_others_go_on() -> None:
    bad = Failure(("raw",), "TooManyBadRows", "half of it is bad", Window.of_day(day(3)))
    made = [key for key in days("raw") if key[1] != day(3)]
    found = judged(Piece(("raw", "silver"), WEEK), made, bad)
    assert found.settled["raw", day(3)] == Outcome(PartitionState.FAILED, "half of it is bad")
    assert found.settled["silver", day(3)].state == PartitionState.BLOCKED
    assert found.again == [
        Piece(("silver",), Window(day(0), day(3))),
        Piece(("silver",), Window(day(4), day(7))),
    ]


def test_a_day_that_failed_because_others_were_asked_for_with_it_is_asked_for_alone() -> None:
    unsure = Failure(("raw",), "TimesUnreadable", "rows without a time", Window.of_day(day(3)))
    made = [key for key in days("raw") if key[1] != day(3)]
    found = judged(Piece(("raw",), WEEK), made, unsure)
    alone = Piece(("raw",), Window.of_day(day(3)))
    assert found.again == [alone]
    assert judged(alone, [], unsure).settled["raw", day(3)].state == PartitionState.FAILED


def test_a_failure_that_names_no_day_is_sought_by_halves() -> None:
    bad = Failure(("silver",), "AuditFailed", "a key twice")
    found = judged(Piece(("raw", "silver", "gold"), WEEK), days("raw"), bad)
    assert found.again == [
        Piece(("gold", "silver"), Window(day(0), day(4))),
        Piece(("gold", "silver"), Window(day(4), day(7))),
    ]
    single = judged(Piece(("silver", "gold"), Window.of_day(day(0))), [], bad)
    assert [settled.state for settled in single.settled.values()] == [
        PartitionState.FAILED,
        PartitionState.BLOCKED,
    ]
    assert single.again == []


def test_what_may_pass_is_tried_again_a_few_times_and_then_fails() -> None:
    down = Failure(("raw",), "SourceUnreachable", "no answer")
    piece = Piece(("raw", "silver"), WEEK)
    for attempt in range(1, ATTEMPTS):
        found = judged(piece, [], down)
        assert found.transient
        assert found.again == [Piece(("raw", "silver"), WEEK, attempt)]
        (piece,) = found.again
    found = judged(piece, [], down)
    assert {key[0]: settled.state for key, settled in found.settled.items()} == {
        "raw": PartitionState.FAILED,
        "silver": PartitionState.BLOCKED,
    }


def test_whole_assets_made_with_days_that_failed_are_made_alone_once_the_days_are_settled() -> None:
    piece = Piece(("raw", "silver"), WEEK, whole=("mart",))
    assert piece.phase == Piece(("mart",), None).phase
    found = judged(piece, days("raw"), Failure(("silver", "mart"), "AuditFailed", "a key twice"))
    assert ("mart", None) not in found.settled
    assert found.again == [
        Piece(("silver",), Window(day(0), day(4))),
        Piece(("silver",), Window(day(4), day(7))),
        Piece(("mart",), None),
    ]
    calm = judged(piece, list(piece.keys))
    assert (set(calm.settled), calm.again) == (set(piece.keys), [])


@pytest.mark.parametrize("error", ["ConfigError", "SourceRefused", "BreakerOpen", "InputMissing"])
def test_what_holds_for_every_day_is_not_sought_by_halves(error: str) -> None:
    found = judged(Piece(("raw",), WEEK), [], Failure(("raw",), error, "no token"))
    assert {settled.state for settled in found.settled.values()} == {PartitionState.FAILED}


def test_days_out_of_reach_are_no_failure_and_what_was_loaded_in_time_goes_on() -> None:
    gone = Failure(("raw",), "BeyondReach", "90 days", Window(day(0), day(2)))
    made = [key for key in days("raw") if key[1] and key[1] >= day(2)]
    found = judged(Piece(("raw", "silver"), WEEK), made, gone, had=frozenset({("raw", day(1))}))
    assert found.settled["raw", day(0)].state == PartitionState.UNREACHABLE
    assert found.settled["silver", day(0)].state == PartitionState.UNREACHABLE
    assert found.again == [Piece(("silver",), Window(day(1), day(7)))]


def test_assets_that_need_nothing_of_what_failed_are_settled_at_once() -> None:
    bad = Failure(("raw",), "unknown", "a defect")
    found = judged(Piece(("raw", "silver", "other"), WEEK), days("other"), bad)
    assert {key[0] for key in found.settled} == {"other"}
    assert {asset for piece in found.again for asset in piece.assets} == {"raw", "silver"}


def test_a_run_that_never_says_a_word_is_given_up_in_the_end() -> None:
    piece, runs = Piece(("raw",), WEEK), 0
    while True:
        found, runs = judged(piece, []), runs + 1
        if not found.again:
            break
        (piece,) = found.again
    assert runs == ATTEMPTS
    assert {settled.state for settled in found.settled.values()} == {PartitionState.FAILED}


def test_a_day_is_told_once_all_its_assets_are_settled_with_the_worst_of_them() -> None:
    tally = Tally([("raw", day(0)), ("silver", day(0)), ("mart", None)])
    assert tally.total == 2
    loaded = Outcome(PartitionState.DONE, rows=288, quarantined=2, seconds=0.25)
    assert list(tally.settle({("raw", day(0)): loaded, ("raw", day(5)): loaded})) == []
    (first,) = tally.settle({("silver", day(0)): Outcome(PartitionState.FAILED, "a key twice", rows=1)})
    assert (first.number, first.unit, first.state) == (1, day(0), PartitionState.FAILED)
    assert (first.rows, first.counts["quarantined"], first.seconds) == (288, 2, 0.25)
    assert first.reason == "a key twice"
    (mart,) = tally.settle({("mart", None): Outcome(PartitionState.DONE, rows=7)})
    assert (mart.number, mart.unit, mart.rows) == (2, "mart", 7)
