"""The macros over values that nobody thought of: drawn once, all of them in one query per engine."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import inputs
import pyarrow as pa
import pytest
from comparing import both, differences, drawn, query
from dbt.contracts.graph.manifest import Manifest
from engines import Lake
from hypothesis import strategies as st
from test_expressions import EXPRESSIONS

_INSTANTS = st.none() | st.datetimes(
    dt.datetime(1890, 1, 1), dt.datetime(2099, 12, 31), timezones=st.just(dt.UTC)
)
_DATES = st.none() | st.dates(dt.date(1890, 1, 1), dt.date(2099, 12, 31))
_INTEGERS = st.none() | st.integers(-(10**12), 10**12)
_SMALL = st.none() | st.integers(0, 600)
_DOUBLES = st.none() | st.floats(-1e9, 1e9) | st.integers(-(10**6), 10**6).map(lambda n: n / 100)
_DECIMALS = st.none() | st.decimals(Decimal(-99999), Decimal(99999), places=4)
_TEXTS = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


def _drawn() -> dict[str, pa.Table]:
    numbers = st.tuples(_INTEGERS | _SMALL, _SMALL, _DOUBLES, _DOUBLES, _DECIMALS, _DECIMALS)
    return {
        "instants": inputs.instants_table(drawn(st.tuples(_INSTANTS, _INSTANTS), 400)),
        "dates": inputs.dates_table(drawn(st.tuples(_DATES, _DATES, st.integers(-3000, 3000)), 400)),
        "numbers": inputs.numbers_table(drawn(numbers, 400)),
        "texts": inputs.texts_table(drawn(st.tuples(_TEXTS, _TEXTS), 400)),
        "samples": inputs.samples_table(drawn(st.lists(_SMALL, min_size=1, max_size=60), 200)),
    }


@pytest.fixture(scope="session")
def chance(lake: Lake) -> dict[str, pa.Table]:
    """Drawn inputs, by name, in the lake as well."""
    made = _drawn()
    for name, rows in made.items():
        lake.put(f"chance.{name}", rows)
    return made


@pytest.mark.parametrize("kind", list(EXPRESSIONS))
def test_the_engines_agree_on_values_drawn_at_random(
    kind: str, lake: Lake, chance: dict[str, pa.Table], manifests: dict[str, Manifest]
) -> None:
    table = f"chance.{kind}"
    template = query(table, EXPRESSIONS[kind])
    results = both(template, table, chance[kind], lake, manifests, timezone="Europe/Berlin")
    assert differences(results) == {}
