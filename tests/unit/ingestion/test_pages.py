"""A page keeps the exact text of each row, however the source lays out its JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.ingestion.rest.bodies import as_utf8, look_of
from millpond.ingestion.rest.pages import KEY, PAYLOAD, REST, PageDecoder

_TEXT = st.text(st.sampled_from('a"\\{}[],: \n'), max_size=8)
_VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=6,
)
_BLANKS = st.text(st.sampled_from(" \t\r\n"), max_size=20)


def _laid_out(texts: list[str], gaps: list[tuple[str, str]]) -> bytes:
    parts = [f"{text}{before},{after}" for text, (before, after) in zip(texts, gaps, strict=False)]
    return f" [ {''.join(parts)}{texts[-1]} ] ".encode() if texts else b" [ ] "


@given(st.data())
def test_each_row_is_its_own_text_whatever_stands_between_rows(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.one_of(st.dictionaries(_TEXT, _VALUE, max_size=3), _VALUE), max_size=6))
    count = max(0, len(values) - 1)
    gaps = data.draw(st.lists(st.tuples(_BLANKS, _BLANKS), min_size=count, max_size=count))
    indent = data.draw(st.sampled_from([None, 1, 20]))
    texts = [json.dumps(value, indent=indent) for value in values]
    page = PageDecoder()(_laid_out(texts, gaps))
    assert [text.strip(" \t\r\n") for text in page[PAYLOAD].to_pylist()] == texts


_CHARSETS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@given(st.data())
def test_a_list_is_the_same_rows_in_every_charset_declared_or_not(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.dictionaries(st.text(max_size=5), _VALUE, max_size=3), max_size=5))
    text = json.dumps(
        rows, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 2, "\t"]))
    )
    text = data.draw(_BLANKS) + text.replace("\n", data.draw(st.sampled_from(["\n", "\r\n"])))
    charset = data.draw(st.sampled_from(_CHARSETS))
    declared = data.draw(st.booleans()) or text[0] in " \t\r\n"
    try:
        body = text.encode(charset)
    except UnicodeEncodeError:
        return  # half a surrogate, which no charset has
    headers = {"Content-Type": f'application/json; charset="{charset}"'} if declared else {}
    page = PageDecoder()(as_utf8(body, headers))
    assert [json.loads(row) for row in page[PAYLOAD].to_pylist()] == rows
    under = PageDecoder("items")(as_utf8(('{"items": ' + text + "}").encode(charset), headers))
    assert [json.loads(row) for row in under[PAYLOAD].to_pylist()] == rows


_BESIDE = st.dictionaries(st.sampled_from(["next", "links", "data", "a"]), _VALUE, max_size=3)


@given(_BESIDE, st.lists(_VALUE, max_size=3), _BESIDE, st.sampled_from(["items", "data.items", "$.items"]))
def test_rows_beside_other_fields_are_those_at_the_selector_and_the_rest_is_all_else(
    before: dict[str, Any], rows: list[Any], after: dict[str, Any], selector: str
) -> None:
    at = {"items": rows}
    body = {**before, **({"data": at} if selector == "data.items" else at), **after}
    at = body["data"] if selector == "data.items" else body
    if not isinstance(at, dict) or at.get("items") != rows:
        return  # one of the other fields took its place
    page = PageDecoder(selector)(json.dumps(body).encode())
    assert [json.loads(text) for text in page[PAYLOAD].to_pylist()] == rows
    if rest := (page.schema.metadata or {}).get(REST):
        found = json.loads(rest)
        (found["data"] if selector == "data.items" else found)["items"] = rows
        assert found == body


@pytest.mark.parametrize(
    ("around", "is_cut"),
    [
        ('{"items": %s, "next": null}', True),
        ('{"links": ["items"], "items" : %s , "more": [1, [2]]}', True),
        (r'{"say": "\"items\": [1]", "items": %s}', True),
        ('{"other": {"items": [3]}, "items": %s}', True),
        ('{"items": %s, "far": [1], "further": [[2], [3], [4]]}', False),
        ('{"items": %s, "say": -7.700001e-77}', False),
    ],
)
def test_rows_are_cut_out_of_a_body_as_they_are_or_written_anew(around: str, is_cut: bool) -> None:
    rows = '[{"at": 1.10}, {"at": "]"}]'
    page = PageDecoder("items")((around % rows).encode())
    assert [json.loads(text) for text in page[PAYLOAD].to_pylist()] == json.loads(rows)
    assert ("1.10" in page[PAYLOAD][0].as_py()) == is_cut
    assert (REST in (page.schema.metadata or {})) == is_cut


@pytest.mark.parametrize("other", ["[2]", "[]", "{}"])
def test_rows_that_are_there_twice_are_refused(other: str) -> None:
    for body in (f'{{"items": [1], "items": {other}}}', f'{{"items": {other}, "items": [1]}}'):
        with pytest.raises(ValueError, match="it has items twice"):
            PageDecoder("items")(body.encode())


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"\xff\xfe[", {}, "it is no utf-16, which is its recognised charset (truncated data)"),
        (b'["\xe9"]', {"Content-Type": "text/json; charset=utf-16"}, "it is no utf-16"),
        (b"[]", {"Content-Type": "application/json;charset=klingon"}, "its charset 'klingon' is unknown"),
        (b"[]", {"Content-Type": "application/json;charset=rot13"}, "it is no rot13"),
        (b"\x0b\x02", {"Content-Encoding": "br"}, "it is compressed as br"),
        (b"\x28\xb5\x2f\xfd..", {}, "it is compressed as zstd, which its headers do not say"),
        (b'["\\\xff"]', {}, "it is no UTF-8 (invalid start byte at byte 3)"),
    ],
)
def test_what_cannot_be_read_as_text_is_named(body: bytes, headers: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        as_utf8(body, headers)


@pytest.mark.parametrize(
    ("body", "looks"),
    [
        (b" <!DOCTYPE html><p>", "HTML"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b"callback([1])", "JSONP"),
        (b'{"a": 1}\n{"a": 2}\n', "JSON Lines (endpoint.format: jsonl)"),
        (b"id,at\n1,2\n", "CSV (endpoint.format: csv)"),
    ],
)
def test_what_is_no_json_is_named_by_its_looks_and_content_type(body: bytes, looks: str) -> None:
    with pytest.raises(ValueError, match="it is not JSON"):
        PageDecoder()(body)
    assert look_of(body, {"Content-Type": "text/x"}) == f"it looks like {looks}; content type text/x"


def test_latin_1_is_read_where_it_is_declared() -> None:
    body = as_utf8(
        '[{"name": "Müller"}]'.encode("latin-1"), {"Content-Type": "text/json; charset=ISO-8859-1"}
    )
    assert PageDecoder()(body)[PAYLOAD].to_pylist() == ['{"name": "Müller"}']


@pytest.mark.parametrize(
    ("selector", "body", "rows"),
    [
        ("$", None, 0),
        ("items", None, 0),
        ("items", b"[]", 0),
        ("items", b'{"items": null}', 0),
        ("items", b'{"items": []}', 0),
        ("items[*]", b'{"items": null}', 0),
        ("items[*]", b'{"items": []}', 0),
        ("items[*]", b'{"items": [null, {}]}', 2),
        ("data.items", b'{"data": {"items": [{}]}}', 1),
        ("items", b'{"item": []}', None),
        ("items[*]", b'{"item": []}', None),
        ("data.items", b'{"data": {}}', None),
    ],
)
def test_nothing_there_is_no_row_and_a_missing_place_is_an_error(
    selector: str, body: bytes | None, rows: int | None
) -> None:
    if rows is None:
        assert body is not None
        with pytest.raises(ValueError, match="it has nothing at"):
            PageDecoder(selector)(body)
    else:
        assert PageDecoder(selector)(body).num_rows == rows


@pytest.mark.parametrize("blanks", [0, 1, 15, 16, 17, 100_000])
def test_rows_may_be_any_distance_apart(blanks: int) -> None:
    rows: list[dict[str, Any]] = [{"a": "}, {"}, {"b": {}}, {"c": [{}, {}]}]
    body = (" " * blanks + "," + " " * blanks).join(map(json.dumps, rows))
    page = PageDecoder()(f"[{body}]".encode())
    assert [json.loads(text) for text in page[PAYLOAD].to_pylist()] == rows


def test_keys_are_the_same_only_where_type_and_value_are() -> None:
    values = [
        "-1",
        "-2",
        "0",
        str(2**61 - 1),
        '"0"',
        "true",
        "1",
        '"1"',
        "0.5",
        "false",
        "9" * 5000,
        "[1]",
        "[2]",
    ]
    body = "[" + ",".join(f'{{"id": {value}}}' for value in values) + "]"
    page = PageDecoder(key=(("id",),))(body.encode())
    assert len(set(page[KEY].to_pylist())) == len(values)
    pairs = "[" + ",".join(f'{{"id": {value}, "at": "x"}}' for value in values) + "]"
    page = PageDecoder(key=(("id",), ("at",)))(pairs.encode())
    assert len(set(page[KEY].to_pylist())) == len(values)
    one, same, other = PageDecoder(key=(("id",),))(b'[{"id": 1}, {"id": 1.0}, {"id": 2}]')[KEY].to_pylist()
    assert one == same != other
    (alone,) = PageDecoder(key=(("id",),))(b'[{"id": 1}]')[KEY].to_pylist()
    assert alone == one


@pytest.mark.parametrize("colon", [":", " :", "\n:"])
@pytest.mark.parametrize("beside", ["x", ":", r"\u0022q\u0022", r"\\u0022", r"\"\""])
def test_of_a_name_given_twice_the_last_value_counts_however_it_is_written(beside: str, colon: str) -> None:
    row = f'{{"id"{colon} 1, "id": 2, "say": "{beside}"}}'
    (text,) = PageDecoder()(f"[{row}]".encode())[PAYLOAD].to_pylist()
    assert json.loads(text, object_pairs_hook=list) == list(json.loads(row).items())


def test_a_body_of_null_is_no_rows() -> None:
    assert PageDecoder()(b" null ").num_rows == 0
