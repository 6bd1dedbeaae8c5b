"""What a cadence may say: what Dagster understands, and nothing that never comes."""

from __future__ import annotations

import pytest
from dagster._utils.schedules import is_valid_cron_schedule
from hypothesis import given, settings
from hypothesis import strategies as st

from millpond.automation.overview import find_next_tick
from millpond.ingestion.spec_rules import check_cron

BOUNDS = [(0, 59), (0, 23), (1, 28), (1, 12), (0, 6)]


@st.composite
def fields(draw: st.DrawFn) -> str:
    found = []
    for low, high in BOUNDS:
        number = st.integers(low, high)
        spans = st.tuples(number, number).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
        steps = st.integers(1, high or 1).map(lambda n: f"*/{n}")
        found.append(draw(st.one_of(st.just("*"), number.map(str), spans, steps)))
    return " ".join(found)


@given(fields())
@settings(max_examples=40)
def test_what_is_accepted_dagster_understands(text: str) -> None:
    import datetime as dt

    assert is_valid_cron_schedule(check_cron(text))
    assert find_next_tick(text, "Europe/Berlin", dt.datetime(2026, 11, 22, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    "text", ["0 * * * *", "15 */6 * * *", "0,30 8-18 * * mon-fri", "0 6 31 1,3 *", "0 0 31 2 1"]
)
def test_usual_expressions_are_accepted(text: str) -> None:
    assert check_cron(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hourly", "has 1 fields"),
        ("@daily", "has 1 fields"),
        ("0 * * *", "has 4 fields"),
        ("0 0 * * * *", "has 6 fields"),
        ("60 * * * *", "'60' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 0 * *", "'0' is no day of the month"),
        ("0 0 * foo *", "'foo' is no month"),
        ("0 0 * * 8", "'8' is no day of the week"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("30-10 * * * *", "'30-10' is no minute"),
        ("5/10 * * * *", "'5/10' is no minute"),
        ("0 0 31 2 *", "a day that no year has"),
        ("0 0 31 jun *", "a day that no year has"),
    ],
)
def test_what_is_wrong_is_named_with_an_example(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r'for example cron: "0 \* \* \* \*"') as refused:
        check_cron(text)
    assert reason in str(refused.value)
