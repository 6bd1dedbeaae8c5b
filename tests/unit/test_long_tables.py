"""A table is printed while its rows come: each of them once and whole."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from millpond.cli.long_table import print_parts_as_table
from millpond.cli.output import print_rows_as_csv, print_rows_as_json, print_rows_as_table

COLUMNS = ["id", "word", "note"]


def make_parts(seed: int, parts: int = 5, rows: int = 7) -> list[list[tuple[Any, ...]]]:
    """Return rows whose texts become longer now and then."""
    chance = random.Random(seed)
    words = ["a", "flour", "grinding-stone", "Mühle", "水車小屋", "x" * 60]
    return [
        [
            (
                part * rows + row,
                chance.choice(words[: part + 2]),
                chance.choice([None, " ".join(chance.choices(words[: part + 1], k=chance.randrange(1, 9)))]),
            )
            for row in range(rows)
        ]
        for part in range(parts)
    ]


def read_back(printed: str, columns: int) -> list[list[str]]:
    """Return the values of a printed table, of which lines that begin with an empty cell go on."""
    found: list[list[str]] = []
    for line in printed.splitlines():
        if not line.startswith("│"):
            continue
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert len(cells) == columns
        if cells[0]:
            found.append(cells)
        else:
            found[-1] = [f"{before} {more}".strip() for before, more in zip(found[-1], cells, strict=True)]
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("width", [None, 90, 250])
def test_each_row_is_printed_once_and_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seed: int, width: int | None
) -> None:
    if width:
        monkeypatch.setenv("COLUMNS", str(width))
    else:
        monkeypatch.delenv("COLUMNS", raising=False)
    parts = make_parts(seed)
    rows = [row for part in parts for row in part]
    assert print_parts_as_table(COLUMNS, parts) == len(rows)
    printed = capsys.readouterr().out
    if width:
        assert max(map(len, printed.splitlines())) <= width
    expected = [[str(i), word, "null" if note is None else note] for i, word, note in rows]
    assert read_back(printed, len(COLUMNS)) == expected


def test_a_terminal_too_narrow_gets_the_rows_as_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    parts = make_parts(1)
    print_parts_as_table(COLUMNS, parts)
    printed = capsys.readouterr().out
    assert printed.count("x" * 60) == sum(str(row).count("x" * 60) for part in parts for row in part)
    assert "id    34" in printed


def test_rows_of_one_part_are_the_table_they_always_were(capsys: pytest.CaptureFixture[str]) -> None:
    (part,) = make_parts(2, parts=1)
    print_rows_as_table(COLUMNS, part)
    whole = capsys.readouterr().out
    assert print_parts_as_table(COLUMNS, [part]) == len(part)
    assert capsys.readouterr().out == whole
    assert print_parts_as_table(COLUMNS, []) == 0


def test_a_part_is_printed_before_the_next_but_one_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    printed = ""

    def fetch() -> Iterator[Sequence[Sequence[Any]]]:
        nonlocal printed
        for number in range(6):
            printed += capsys.readouterr().out
            if number > 2:
                assert f"row {number - 2} " in printed
            yield [(f"row {number} ",)]

    assert print_parts_as_table(["text"], fetch()) == 6


def test_json_and_csv_are_written_row_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    printed = ""

    def fetch() -> Iterator[Sequence[Any]]:
        nonlocal printed
        for number in range(3):
            printed += capsys.readouterr().out
            if number:
                assert f"row {number - 1}" in printed
            yield (f"row {number}",)

    print_rows_as_json(["text"], fetch())
    print_rows_as_csv(["text"], fetch())
