"""What Python's csv module writes in any dialect is read back equal; what is no CSV is kept, line by line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.errors import SourceMalformed
from millpond.ingestion.batches import BROKEN, LINE
from millpond.ingestion.files import blocks, delimited, lines
from millpond.ingestion.files.delimited import read_csv
from millpond.ingestion.files.spec import Csv
from millpond.ingestion.spec import SourceTable

TABLE = {
    "name": "sales",
    "key": ["id"],
    "event_time": {"column": "at"},
    "columns": {"id": {"type": "int"}, "at": {"type": "timestamp"}, "amount": {"type": "number"}},
    "files": {"path": "*.csv"},
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\x1a"), max_size=12)


def read(
    content: bytes, encoding: str = "utf-8", most: int = 1_000_000, **dialect: Any
) -> list[dict[str, Any]]:
    """Return the rows, a bad one as its line and reason."""
    table = SourceTable.model_validate({**TABLE, "quarantine": {"max_row_bytes": most}})
    found = []
    for rows in read_csv(io.BytesIO(content), encoding, Csv.model_validate(dialect), table):
        for row in rows.to_pylist():
            line, reason = row.pop(LINE), row.pop(BROKEN)
            found.append({"bad": line, "why": reason} if reason else row)
    return found


@given(
    rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(TEXTS, min_size=n, max_size=n), max_size=6)),
    delimiter=st.sampled_from([",", ";", "\t", "|", ":"]),
    quote=st.sampled_from(['"', "'"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    escape=st.sampled_from([None, "\\"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]),
    header=st.booleans(),
)
def test_what_is_written_in_a_dialect_is_read_back_equal(
    rows: list[list[str]],
    delimiter: str,
    quote: str,
    end: str,
    quoting: Any,
    escape: str | None,
    encoding: str,
    header: bool,
) -> None:
    names = [f"column{n}" for n, _ in enumerate(rows[0] if rows else "x", 1)]
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=delimiter,
        quotechar=quote,
        lineterminator=end,
        quoting=quoting,
        escapechar=escape,
        doublequote=escape is None,
    )
    writer.writerows([names, *rows] if header else rows)
    found = read(
        text.getvalue().encode(encoding),
        encoding.removesuffix("-sig"),
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        header=header,
    )
    assert found == [dict(zip(names, (value or None for value in row), strict=True)) for row in rows]


@given(content=st.binary(max_size=60), lines=st.integers(0, 3))
def test_any_bytes_are_rows_bad_rows_or_a_typed_error(content: bytes, lines: int) -> None:
    try:
        found = read(b"id,at\n" * (lines > 0) + b"1,2\n" * lines + content + b"\n8,9\n")
    except SourceMalformed:
        return
    if lines:
        assert found[: lines - 1] == [{"id": "1", "at": "2"}] * (lines - 1)


@given(at=st.integers(0, 20), broken=st.sampled_from(['"', 'a,"', '"a"b,c', "a,b,c", "a", 'x,"y\n']))
def test_a_broken_line_takes_no_other_with_it(at: int, broken: str) -> None:
    rows = [f'{n},"t ""{n}"""' for n in range(20)]
    texts = [*rows[:at], broken.rstrip("\n"), *rows[at:]]
    found = read(("id,at\n" + "\n".join(texts) + "\n").encode())
    assert [row["at"] for row in found if "at" in row] == [f't "{n}"' for n in range(20)]
    assert [row["bad"] for row in found if "bad" in row] == [broken.rstrip("\n")]


SIGNS = st.sampled_from(
    [
        "a",
        "1",
        " ",
        ",",
        ",",
        ",",
        '"',
        '""',
        ',"',
        '",',
        "'",
        "\\",
        "#",
        "é",
        "\0",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "NA",
    ]
)
CLEAN = st.sampled_from(["1,b", '2,"c, ""d"""', '"3","two\nlines"', '4,""', "NA,e", "", '5,"x\r\n\r\ny"'])


@given(
    body=st.one_of(
        st.lists(SIGNS, max_size=40).map("".join),
        st.lists(CLEAN, max_size=12).map("\n".join),
        st.lists(st.one_of(CLEAN, SIGNS), max_size=12).map("\n".join),
    ),
    head=st.sampled_from(["id,at\n", "id\n", "", "id,at\r\n1,x"]),
    block=st.sampled_from([1, 5, 17, 1_000]),
    most=st.sampled_from([8, 40, 1_000]),
    dialect=st.fixed_dictionaries(
        {"header": st.booleans(), "quote": st.sampled_from(['"', "'", ""])},
        optional={
            "escape": st.just("\\"),
            "comment": st.just("#"),
            "null": st.just(["NA"]),
            "skip_footer": st.just(1),
            "delimiter": st.just(","),
        },
    ),
    spoilt=st.sampled_from([b"", b"\xff"]),
)
def test_blocks_read_at_once_say_what_is_read_line_by_line(
    body: str, head: str, block: int, most: int, dialect: dict[str, Any], spoilt: bytes
) -> None:
    content = f"{head}{body}".encode() + spoilt + b"\n7,8\n9,y"

    def attempt() -> Any:
        try:
            return read(content, most=most, **dialect)
        except SourceMalformed as error:
            return str(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK", block)
        patch.setattr(blocks, "_PIECE", block // 4 + 1)
        at_once = attempt()
        patch.setattr(blocks.PlainRecords, "take", lambda *_: None)
        assert at_once == attempt()
        patch.setattr(delimited.Records, "go_by_blocks", lambda _: None)
        assert at_once == attempt()


def test_blocks_before_one_that_cannot_be_read_are_taken() -> None:
    def feed() -> Iterator[str]:
        yield from ("1,a\n", "2,b\n", "3,c\n", "4,d\n")
        raise EOFError("the archive is cut off")

    plain, taken = blocks.PlainRecords(Csv(), ",", 2, 1_000, [""]), []
    with pytest.raises(EOFError, match="cut off"):
        taken.extend(block for block, _ in plain.take_each(blocks.Blocks(feed())))
    assert taken == ["1,a\n", "2,b\n", "3,c\n", "4,d\n"]


@given(texts=st.lists(st.sampled_from(["1,a\n", '2,"b\n', 'c"\n', "3\n"]), max_size=9))
def test_blocks_after_one_that_is_not_plain_come_again(texts: list[str]) -> None:
    plain, left, seen = blocks.PlainRecords(Csv(), ",", 2, 1_000, [""]), blocks.Blocks(iter(texts)), []
    for block, found in plain.take_each(left):
        seen.append(block)
        if found is None or found[1]:
            following = next(left, "")
            assert following == (texts[len(seen)] if len(seen) < len(texts) else "")
            left.put_back([following] if following else [])
    assert seen == texts


def test_plain_blocks_are_left_to_arrow() -> None:
    rows = "".join(f'{n},"t ""{n}"", and\nmore"\n' for n in range(50_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited.Records, "open", lambda *_: pytest.fail("a block was read line by line"))
        assert len(read(f"id,at\n{rows}".encode())) == 50_000


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id,at\n", []),
        (b"\xef\xbb\xbfid,at\r\n1,2\r\n", [{"id": "1", "at": "2"}]),
        (b"\xff\xfe" + "id;at\n1;é\n".encode("utf-16-le"), [{"id": "1", "at": "é"}]),
        (b"id\n1\n\n2\n", [{"id": "1"}, {"id": "2"}]),
        (b"id\tat\n1\t2,5\n", [{"id": "1", "at": "2,5"}]),
        (b"id;name, first;at\n1;x;y\n", [{"id": "1", "name, first": "x", "at": "y"}]),
        (b"id,at,at,\n1,2,3,4\n", [{"id": "1", "at": "2", "at_1": "3", "column4": "4"}]),
        (b"id,at\n1,1.10\n", [{"id": "1", "at": "1.10"}]),
        (b"id,at\n1,a\0b\n", [{"id": "1", "at": "a\0b"}]),
        (b"id,at\n1,2\n3", [{"id": "1", "at": "2"}, {"bad": "3", "why": "row has 1 fields, not 2"}]),
        (b"id,at\n1,\xe9\n2,b\n", [{"bad": "1,\\xe9", "why": "row is not utf-8"}, {"id": "2", "at": "b"}]),
    ],
)
def test_small_files_are_read_as_people_mean_them(content: bytes, expected: list[dict[str, str]]) -> None:
    assert read(content) == expected


def test_a_decimal_comma_is_read_in_columns_of_numbers_and_left_alone_in_others() -> None:
    found = read(b"id;at;amount\n1;1,5;1.234,50\n2;x;2,5\n3;x;1.5\n", decimal=",")
    assert [(row["at"], row["amount"]) for row in found] == [("1,5", "1234.50"), ("x", "2.5"), ("x", "1,5")]


def test_lines_before_the_header_comments_and_words_for_nothing_are_left_out() -> None:
    content = b'report\n\n# it\'s "made\nid,at\n# x\n1,NA\n2,"\n# no comment"\n'
    found = read(content, skip=1, comment="#", null=["NA"])
    assert found == [{"id": "1", "at": None}, {"id": "2", "at": "\n# no comment"}]


@pytest.mark.parametrize("end", ["", "\n", "\n\n \n"])
def test_declared_lines_at_the_end_are_no_rows(end: str) -> None:
    lines = ["id,at", "1,x", '2,"two\nlines"', "Total,3", "checked by,me,twice"]
    rows = [{"id": "1", "at": "x"}, {"id": "2", "at": "two\nlines"}]
    assert read(f"{chr(10).join(lines)}{end}".encode(), skip_footer=2) == rows
    assert read(f"id,at\nTotal,0{end}".encode(), skip_footer=1) == []
    assert read(f"id,at{end}".encode(), skip_footer=1) == []


def test_a_line_that_is_too_large_is_bad_and_cut() -> None:
    found = read(b"id,at\n1," + b"x" * 500 + b"\n2,y\n", most=100)
    assert found[0]["why"] == "row is larger than 100 bytes"
    assert len(found[0]["bad"]) == 101
    assert found[1] == {"id": "2", "at": "y"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"\n\n", "it is empty"),
        (b"\x1f\x8b\x08rest", "compressed as gzip"),
        ("id,at\n".encode("utf-16-le"), "looks like UTF-16"),
        (b"id,\xe9\n1,2\n", "not utf-8"),
        (b'id,"at\n1,2\n', "quote that is not closed"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_refused_by_name(content: bytes, says: str) -> None:
    with pytest.raises(SourceMalformed, match=says):
        read(content)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"path": "../x.csv"}, "relative path"),
        ({"path": "/etc/*.csv"}, "relative path"),
        ({"path": "s3://b/x.csv"}, "relative path"),
        ({"path": "{day}.csv"}, "unknown placeholder"),
        ({"path": "*.dat"}, "names no format"),
        ({"path": "*.csv", "encoding": "rot13"}, "no encoding"),
        ({"path": "*.csv", "encoding": "latin-99"}, "no encoding"),
        ({"path": "{date}.csv", "date_format": "%Y"}, "whole day"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_the_spec_is_read(files: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SourceTable.model_validate({**TABLE, "files": files})
