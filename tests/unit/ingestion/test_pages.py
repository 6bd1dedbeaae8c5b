"""A page keeps the exact text of each row, however the source lays out its JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.ingestion.pages import PAYLOAD, PageDecoder

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


@pytest.mark.parametrize("blanks", [0, 1, 15, 16, 17, 100_000])
def test_rows_may_be_any_distance_apart(blanks: int) -> None:
    rows: list[dict[str, Any]] = [{"a": "}, {"}, {"b": {}}, {"c": [{}, {}]}]
    body = (" " * blanks + "," + " " * blanks).join(map(json.dumps, rows))
    page = PageDecoder()(f"[{body}]".encode())
    assert [json.loads(text) for text in page[PAYLOAD].to_pylist()] == rows
