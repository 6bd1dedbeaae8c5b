"""Names that reach SQL are identifiers or quoted, so that no name can be a statement."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from millpond.errors import ConfigError
from millpond.naming import identifier, literal, marts_schema, pluralize, quoted, ref_name, table_name

REFUSED = [
    "",
    "Upper",
    "1st",
    "with space",
    "semi;colon",
    'x";drop',
    "dotted.name",
    "ünï",
    "a" * 64,
    "a\n",
    "../up",
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_identifier_everywhere_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a valid identifier"):
        identifier(name)


@pytest.mark.parametrize("name", ["climate_entries", "_id", "a1", "a" * 63])
def test_an_identifier_passes_unchanged(name: str) -> None:
    assert identifier(name) == name


@pytest.mark.parametrize(
    "name", ["raw", "raw.", "cooked.table", "raw.Upper", "raw.a.b", 'raw.x";drop', ".raw"]
)
def test_a_table_name_that_is_not_layer_and_identifier_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        table_name(name)


def test_a_table_name_is_split_into_layer_and_table() -> None:
    assert table_name("raw.climate_entries") == ("raw", "climate_entries")


@pytest.mark.parametrize(
    "name", ["", "try-2", "_dev", "Dev", "feature/x", "dev;", "dev\n", "d" * 58, "main@1"]
)
def test_a_ref_with_an_odd_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a valid name"):
        ref_name(name)


@pytest.mark.parametrize(("ref", "schema"), [("main", "marts"), ("dev", "marts_dev"), ("2026", "marts_2026")])
def test_each_ref_publishes_to_a_schema_of_its_own(ref: str, schema: str) -> None:
    assert marts_schema(ref) == schema


@given(st.text("abz019_", min_size=1, max_size=57).filter(lambda ref: not ref.startswith("_")))
@example("d" * 57)
def test_every_ref_has_a_schema_that_postgres_takes_whole(ref: str) -> None:
    assert identifier(marts_schema(ref)) == f"marts_{ref}"


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=50)


@given(texts)
def test_a_literal_reads_back_as_the_text_it_stands_for(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    assert connection.execute(f"SELECT {literal(text)}").fetchone() == (text,)


@given(texts)
def test_a_quoted_name_stays_one_name(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert connection.execute(f"SELECT 1 AS {quoted(text)}").description[0][0] == text


@pytest.mark.parametrize(
    ("number", "verb", "text"),
    [(1, "", "1 day"), (0, "", "0 days"), (1, "are", "1 day is"), (1200, "are", "1,200 days are")],
)
def test_one_is_no_plural(number: int, verb: str, text: str) -> None:
    assert pluralize(number, "day", verb) == text
