"""The filters as widgets in the sidebar, kept equal to the address of the page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import streamlit as st

from millpond.dashboard.filters import (
    EARLIEST,
    INTERVALS,
    NAMES,
    PERIODS,
    Choices,
    Filters,
    format_filters,
    parse_filters,
)
from millpond.dashboard.text import escape

_OTHER: Final = 0
"""The entry of the list of periods for two dates."""
_WRITTEN: Final = "written"
_READ: Final = "filters"
_PAGE: Final = "page"


def show_filters(page: str, choices: Choices, today: dt.date) -> Filters:
    """Return the filters; the address decides where it was changed, else the widgets, which then write it."""
    address = {name: st.query_params.get_all(name) for name in NAMES if name in st.query_params}
    state = st.session_state
    if _WRITTEN not in state or (address and address != state[_WRITTEN]):
        parsed = parse_filters(address, today, choices)
        _fill_widgets(parsed.filters)
        state["hints"] = parsed.hints
    elif state[_PAGE] != page:
        # Streamlit begins each page with new widgets, also where another page has the same.
        _fill_widgets(state[_READ])
    state[_PAGE] = page
    with st.sidebar:
        filters = state[_READ] = _read_widgets(choices, today)
    if hints := state.get("hints"):
        st.info(f"Parts of the address were ignored: {escape('; '.join(hints))}.")
    _write_address(format_filters(filters), address)
    return filters


def _fill_widgets(filters: Filters) -> None:
    st.session_state.update(
        period=_OTHER if filters.days is None else filters.days,
        dates=(filters.first, filters.last),
        source=list(filters.source),
        layer=list(filters.layer),
        owner=list(filters.owner),
        refresh=filters.refresh,
    )


def _read_widgets(choices: Choices, today: dt.date) -> Filters:
    days = st.selectbox(
        "Period",
        [*PERIODS, _OTHER],
        key="period",
        format_func=lambda n: f"Last {n} days" if n else "From … to …",
    )
    if days == _OTHER:
        given = st.date_input("Days", min_value=EARLIEST, max_value=today, format="YYYY-MM-DD", key="dates")
        ends = given if isinstance(given, tuple) else (given,)
        filters = Filters(ends[0], ends[-1], None) if ends else Filters.of_days(PERIODS[1], today)
    else:
        filters = Filters.of_days(days, today)
    chosen = {
        name: tuple(st.multiselect(name.capitalize(), _offer(choices, name), key=name, placeholder="All"))
        for name in ("source", "layer", "owner")
    }
    refresh = st.selectbox(
        "Refresh",
        INTERVALS,
        key="refresh",
        format_func=lambda n: f"Every {n} s" if n else "Off",
    )
    return Filters(filters.first, filters.last, filters.days, **chosen, refresh=refresh)


def _offer(choices: Choices, name: str) -> list[str]:
    """Return the names to choose from, and those chosen before that no longer exist or are unknown yet."""
    offered: list[str] = list(getattr(choices, name) or ())
    return [*offered, *(value for value in st.session_state.get(name, ()) if value not in offered)]


def _write_address(wanted: Mapping[str, Sequence[str]], address: Mapping[str, Sequence[str]]) -> None:
    st.session_state[_WRITTEN] = dict(wanted)
    if wanted != address:
        for name in NAMES:
            if name in st.query_params and name not in wanted:
                del st.query_params[name]
        for name, values in wanted.items():
            st.query_params[name] = list(values)
