"""The days of an alert are named as few ranges, and the commands for them make all of them."""

from __future__ import annotations

import datetime as dt

from hypothesis import given, seed
from hypothesis import settings as limits
from hypothesis import strategies as st

from millpond.alerts.days import add_commands, compose_commands, format_days, parse_days, replace_days

FIRST = dt.date(2026, 1, 1)
DAYS = st.sets(st.integers(0, 60), min_size=1).map(
    lambda found: sorted(str(FIRST + dt.timedelta(days=n)) for n in found)
)


@seed(1)
@limits(max_examples=50, deadline=None)
@given(DAYS)
def test_days_are_kept_as_ranges_and_come_back(days: list[str]) -> None:
    assert parse_days(format_days(days)) == days


def test_a_key_that_is_no_day_is_kept_as_it_is() -> None:
    assert format_days(["west", "east"]) == "east, west"
    assert parse_days("east, west") == ["east", "west"]
    assert parse_days("") == []


def test_days_apart_are_named_one_by_one_while_they_are_few() -> None:
    apart = [f"2026-11-{day:02}" for day in range(1, 9, 2)]
    assert compose_commands("a*", format_days(apart[:2]), "dev") == (
        'millpond materialize "a*" --partition 2026-11-01 --ref dev;'
        ' millpond materialize "a*" --partition 2026-11-03 --ref dev'
    )
    listed = ",".join(apart)
    assert compose_commands("a*", format_days(apart), "main") == (
        f'millpond backfill "a*" --partitions {listed} --force'
    )
    many = [str(FIRST + dt.timedelta(days=2 * n)) for n in range(30)]
    assert compose_commands("a*", format_days(many), "main") == (
        'millpond materialize "a*" --range 2026-01-01...2026-02-28'
    )


def test_advice_without_a_command_stays_as_it_is_when_the_days_change() -> None:
    assert replace_days(
        "a failed for 2026-11-01...2026-11-02", "wait", "2026-11-01...2026-11-02", "2026-11-02", "main"
    ) == (
        "a failed for 2026-11-02",
        "wait",
    )


def test_what_depends_on_the_days_that_did_not_fail_stays_in_the_advice_as_days_are_made() -> None:
    run, failed = "2026-11-01...2026-11-05", "2026-11-02...2026-11-03"
    step = add_commands("fix it", "a*", failed, "dev", run)
    others = 'for what depends on the other days: millpond backfill "a*" --start-date 2026-11-01'
    others += " --end-date 2026-11-05 --ref dev"
    assert step == f'fix it; then run: millpond materialize "a*" --range {failed} --ref dev; {others}'
    assert replace_days("a failed", step, failed, "2026-11-03", "dev")[1] == (
        f'fix it; then run: millpond materialize "a*" --partition 2026-11-03 --ref dev; {others}'
    )
