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


def functions(heading: str) -> list[str]:
    """Return the functions that a table of docs/architecture.md goes through, below `millpond`."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    part = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| \d+ \| `([\w.]+)`", part, re.MULTILINE)


@pytest.mark.parametrize("heading", ["The way of a partition key", "The way of a row"])
def test_a_way_through_the_code_takes_at_most_twenty_functions_which_exist(heading: str) -> None:
    found = functions(heading)
    assert 5 < len(found) <= 20
    for name in found:
        parts = name.split(".")
        module = next(n for n in range(len(parts) - 1, 0, -1) if _is_module(parts[:n]))
        part: object = importlib.import_module(".".join(["millpond", *parts[:module]]))
        for attribute in parts[module:]:
            part = getattr(part, attribute)
        assert callable(part), name


def _is_module(parts: list[str]) -> bool:
    place = ROOT.joinpath("src", "millpond", *parts)
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_the_architecture_lists_each_package_and_where_to_start_reading_in_it() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    table = page.split("## Packages\n")[1].split("\n## ")[0]
    listed = {name for row in re.findall(r"^\| (`.+?`) \|", table, re.M) for name in re.findall(r"\w+", row)}
    source = ROOT / "src" / "millpond"
    assert {folder.parent.name for folder in source.glob("*/__init__.py")} <= listed
    starts = re.findall(r"`([\w/]+\.py)`", table)
    packages = [place for place in listed if (source / place).is_dir()]
    for start in starts:
        assert any((folder / start).is_file() for folder in (source, *(source / p for p in packages))), start


@pytest.mark.parametrize(
    "package", sorted((ROOT / "src" / "millpond").rglob("__init__.py")), ids=lambda file: file.parent.name
)
def test_each_package_says_where_to_start_reading(package: Path) -> None:
    if "files" not in package.parts:  # of projects to come
        text = package.read_text().split('"""')[1]
        start = re.search(r"Start reading in\s+`([\w.]+)`", text)
        assert start
        assert package.parent.joinpath(*start[1].split(".")).with_suffix(".py").is_file()


def modules() -> Iterator[tuple[str, str]]:
    """Yield page and name of each Python file that a page names as ours, decisions on the past left out."""
    for page in PAGES:
        if page.parent.name != "decisions" and page.name != "CHANGELOG.md":
            for name in re.findall(r"`([\w/]+\.py)(?:::\w+)?`", page.read_text()):
                yield str(page.relative_to(ROOT)), name


def test_each_module_that_a_page_names_is_there() -> None:
    there = {
        f"/{file.relative_to(ROOT)}"
        for folder in ("src", "tests", "docs", "bench", "forecast")
        for file in (ROOT / folder).rglob("*.py")
    }
    of_a_project = {"pond/definitions.py"}
    missing = {
        (page, name)
        for page, name in modules()
        if name not in of_a_project and not any(file.endswith(f"/{name}") for file in there)
    }
    assert missing == set()
