"""Names and types of the columns that are proposed, and how many lines the file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from millpond.errors import MillpondError
from millpond.ingestion.files.place import LocalFolder
from millpond.ingestion.inspection.fields import Field, list_fields
from millpond.ingestion.inspection.file_sample import kind_of, sample_file
from millpond.ingestion.inspection.proposal import MOST_LINES, Proposal
from millpond.ingestion.inspection.texts import list_text_fields
from millpond.ingestion.schema import column_name, name_added_columns
from millpond.ingestion.spec import SourceTable


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("Größe", "grosse"),
        ("Straße/Nr.", "strasse_nr"),
        ("Prénom", "prenom"),
        ("Smørrebrød", "smorrebrod"),
        ("Łódź", "lodz"),
        ("Æble", "aeble"),
        ("İstanbul ı", "istanbul_i"),
        ("m²", "m2"),
        ("имя", ""),
    ],
)
def test_letters_of_other_alphabets_lose_their_accents_in_names(field: str, column: str) -> None:
    assert column_name(field) == column


def test_names_that_become_equal_are_numbered_and_those_without_a_letter_named_by_place() -> None:
    row = {"Größe": 1, "grosse": 2, "Grosse!": 3, "имя": 4, "GRÖßE": 5}
    assert [(field.name, field.column) for field in list_fields([row])] == [
        ("Größe", "grosse"),
        ("grosse", "grosse_2"),
        ("Grosse!", "grosse_3"),
        ("имя", "column_4"),
    ]


def test_a_column_that_was_added_under_its_former_name_keeps_it() -> None:
    table = SourceTable.model_validate(
        {"name": "t", "key": ["id"], "load": "whole", "resource": print, "columns": {"id": "int"}}
    )
    assert name_added_columns(table, ["id", "Größe"], ["id", "gro_e"])[0] == {"gro_e": "Größe"}
    assert name_added_columns(table, ["id", "Größe"], ["id"])[0] == {"grosse": "Größe"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1.10", "22.50", "-0.05"], "decimal(18,2)"),
        (["1,10", "1.022,50", ""], "decimal(18,2)"),
        (["1.100000", "2.000000"], "decimal(18,6)"),
        (["123456789012345.123456"], "decimal(38,6)"),
        (["1.5", "2.5"], "number"),
        (["1.10", "2.5"], "number"),
        (["1.10", "2"], "number"),
        (["1.10", "1e3"], "number"),
        (["01.10", "02.20"], "string"),
        (["1", "2"], "int"),
    ],
)
def test_numbers_with_as_many_decimals_each_are_proposed_as_decimals(values: list[str], kind: str) -> None:
    (field,), rows = list_text_fields([{"amount": value} for value in values])
    assert field.type == kind
    if kind.startswith("decimal") and values[0] == "1.10":
        assert str(rows[0]["amount"]) == "1.10"


def proposal(columns: int, **more: Any) -> Proposal:
    fields = [Field(f"customer_detail_{n}", f"customer_detail_{n}", "string", **more) for n in range(columns)]
    time = Field("created_at", "created_at", "timestamp", unit="iso")
    return Proposal(
        "crm",
        "customers",
        {"sql": {}},
        {"sql": {"table": "sales.customers"}, "cadence": {"cron": "0 6 * * *", "lookback_days": 2}},
        [*fields, time],
        fields[:1],
        time,
        comments=["load: changes", "changes: { column: updated_at, lag: 1h }"],
    )


@pytest.mark.parametrize("columns", [1, 3, 30, 100])
def test_a_table_whose_source_knows_its_types_takes_twelve_lines_whatever_it_has(columns: int) -> None:
    found = proposal(columns, reflected=True)
    assert len(found.text().splitlines()) <= MOST_LINES
    assert {"customer_detail_0", "created_at"} <= set(found.table_spec().columns)


@pytest.mark.parametrize("columns", [1, 30, 300])
def test_columns_whose_types_must_be_declared_are_wrapped_and_none_is_left_out(columns: int) -> None:
    text = proposal(columns).text()
    assert max(map(len, text.splitlines())) <= 120
    assert len(yaml.safe_load(text)["tables"][0]["columns"]) == columns + 1
    assert len(text.splitlines()) <= 12 + columns // 3


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"id;preis\n1;1,10\n2;2,20\n", {"id": "int", "preis": "decimal(18,2)"}),
        ("a.csv", "id;gr\u00f6\u00dfe\n1;5\n".encode("latin-1"), {"id": "int", "grosse": "int"}),
        ("a.csv", b"\xef\xbb\xbfid,a\n1,2\n", {"id": "int", "a": "int"}),
        ("a.csv", b'id,a\n1,"x\ny"\n', {"id": "int", "a": "string"}),
        ("a.csv", b"1,2026-11-01\n2,2026-11-02\n", {"column1": "int", "column2": "date"}),
        ("a.csv", b"id,a,a\n1,2,x\n", {"id": "int", "a": "int", "a_1": "string"}),
        ("a.csv", b"id,a\n1," + b"x" * 2_000_000 + b"\n2,y\n", {"id": "int", "a": "string"}),
        ("a.jsonl", b'{"id": 1, "a": {"b": [1]}}\nnot json\n', {"id": "int", "a": "json"}),
        ("a.csv", b"", "it is empty"),
        ("a.csv", b"id,a\n", "has no rows"),
        ("a.json", b'{"a": ', "cannot be read"),
        ("a.csv.gz", b"no archive", "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_odd_files_are_proposed_as_people_mean_them_or_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, expected: dict[str, str] | str
) -> None:
    (tmp_path / name).write_bytes(content)
    place, kind = LocalFolder(tmp_path), str(kind_of(name))
    if isinstance(expected, str):
        with pytest.raises(MillpondError, match=expected):
            sample_file(place, name, kind)
        return
    assert {field.column: field.type for field in sample_file(place, name, kind).fields} == expected
