"""The filters of the dashboard are in the address, both ways, and nothing in an address breaks a page."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.dashboard.filters import (
    EARLIEST,
    NAMES,
    PERIODS,
    Choices,
    Filters,
    format_filters,
    parse_filters,
)

TODAY = dt.date(2026, 11, 28)
CHOICES = Choices(("github", "glucose"), ("raw", "gold"), ("team:health",))


def test_an_empty_address_is_the_last_thirty_days_of_everything() -> None:
    parsed = parse_filters({}, TODAY, CHOICES)
    assert parsed.filters == Filters(dt.date(2026, 10, 30), TODAY)
    assert parsed.hints == []
    assert format_filters(parsed.filters) == {}


@given(
    st.one_of(
        st.sampled_from(PERIODS).map(lambda days: Filters.of_days(days, TODAY)),
        st.tuples(st.dates(EARLIEST, TODAY), st.dates(EARLIEST, TODAY)).map(
            lambda ends: Filters(min(ends), max(ends), None)
        ),
    ),
    st.lists(st.sampled_from(CHOICES.source or ()), unique=True),
    st.sampled_from([0, 10, 60]),
)
def test_a_written_address_restores_its_filters(period: Filters, sources: list[str], refresh: int) -> None:
    wanted = Filters(period.first, period.last, period.days, tuple(sources), ("gold",), (), refresh)
    parsed = parse_filters(format_filters(wanted), TODAY, CHOICES)
    assert (parsed.filters, parsed.hints) == (wanted, [])


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ({"days": ["8"]}, "days is 7, 30, 90 or 365"),
        ({"days": ["٧"]}, "days is 7"),
        ({"from": ["yesterday"]}, "from and to are dates such as 2026-01-31"),
        ({"from": ["2026-11-02"], "to": ["2026-11-01"]}, "the earlier one first"),
        ({"to": ["2027-01-01"]}, "the earlier one first"),
        ({"refresh": ["1"]}, "refresh is 0, 10 or 60"),
        ({"source": ["github", "<b>x"]}, "there is no source <b>x"),
    ],
)
def test_a_malformed_part_of_an_address_is_left_out_with_a_hint(
    address: dict[str, list[str]], hint: str
) -> None:
    parsed = parse_filters(address, TODAY, CHOICES)
    assert hint in parsed.hints[0]
    kept = ("github",) if "source" in address else ()
    assert parsed.filters == Filters(dt.date(2026, 10, 30), TODAY, 30, kept)


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.text(max_size=12), max_size=3)))
def test_no_address_is_an_error(address: dict[str, list[str]]) -> None:
    filters = parse_filters(address, TODAY, CHOICES).filters
    assert EARLIEST <= filters.first <= filters.last <= TODAY


def test_names_are_kept_while_the_definitions_do_not_load() -> None:
    assert parse_filters({"owner": ["team:x"]}, TODAY, Choices()).filters.owner == ("team:x",)
