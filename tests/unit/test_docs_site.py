"""The pages of docs/ are complete, agree with the code, and link only to what is there."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import reference_pages
from documented import PAGES, ROOT

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_IMPORT = re.compile(r"^from (millpond[\w.]*) import (.+)$|^import (millpond[\w.]*)$", re.MULTILINE)


@pytest.mark.parametrize("name", reference_pages.PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    written = (reference_pages.FOLDER / name).read_text()
    assert written == reference_pages.page(name), f"docs/reference/{name} is out of date: run `make docs`"


def test_the_settings_page_has_each_setting() -> None:
    shown = set(re.findall(rf"`{reference_pages.PREFIX}(\w+)`", reference_pages.page("settings.md")))
    assert {name.upper() for name in reference_pages.Settings.model_fields} - shown == {"SOURCES"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    for place, anchor in _LINK.findall(_CODE.sub("", page.read_text())):
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{place} in {page.name}"
        assert not anchor or anchor in anchors(target), f"{place}#{anchor} in {page.name}"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_each_decision_is_in_the_list_with_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = dict(re.findall(r"^- \[\d+\]\((.+)\): (.+)$", (folder / "README.md").read_text(), re.M))
    titles = {file.name: file.read_text().splitlines()[0].removeprefix("# ") for file in folder.glob("0*.md")}
    assert listed == titles


def imported() -> Iterator[tuple[str, str]]:
    """Yield module and name of each import from Millpond that a page shows."""
    for page in PAGES:
        for module, names, whole in _IMPORT.findall(page.read_text()):
            yield from ((module, name.strip()) for name in names.split(",") if name)
            if whole:
                yield whole, ""


@pytest.mark.parametrize(("module", "name"), sorted(set(imported())))
def test_what_a_page_imports_is_there(module: str, name: str) -> None:
    found = importlib.import_module(module)
    assert not name or hasattr(found, name)
