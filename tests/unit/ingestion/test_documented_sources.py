"""Each source that a page of the docs declares can be read as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from millpond.ingestion.spec import SourceSpec

DOCS = Path(__file__).parents[3] / "docs"


def declared() -> list[tuple[str, str]]:
    """Return the page and text of each YAML block that is a whole source."""
    pages = {page.name: page.read_text() for page in sorted(DOCS.glob("*.md"))}
    blocks = {name: re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for name, text in pages.items()}
    return [(name, block) for name, found in blocks.items() for block in found if "source:" in block]


@pytest.mark.parametrize(("page", "block"), declared())
def test_a_source_in_the_docs_is_valid(page: str, block: str) -> None:
    assert SourceSpec.model_validate(yaml.safe_load(block)).tables, page


def test_the_page_about_loading_has_the_values_of_both_keys() -> None:
    text = (DOCS / "loading.md").read_text()
    schema = SourceSpec.model_json_schema()["$defs"]["SourceTable"]["properties"]
    for key in ("load", "write"):
        part = text.split(f"| `{key}` |")[1].split("\n\n")[0]
        values = schema[key].get("enum") or schema[key]["anyOf"][0]["enum"]
        assert re.findall(r"^\| `(\w+)`", part, re.MULTILINE) == values
