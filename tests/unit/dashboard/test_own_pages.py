"""A page of a project is a file in its folder `dashboards/`; a broken one says so on its page alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from millpond.dashboard.page import list_own_pages
from millpond.errors import ConfigError

PAGE = 'TITLE, ICON, ORDER = "{title}", ":material/star:", {order}\n\ndef render(context):\n    pass\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dashboards").mkdir()
    return tmp_path / "dashboards"


def test_they_come_in_their_order_with_defaults_for_what_is_not_said(folder: Path) -> None:
    (folder / "sales.py").write_text(PAGE.format(title="Sales", order=2))
    (folder / "stock.py").write_text(PAGE.format(title="Stock", order=1))
    (folder / "late_orders.py").write_text("def render(context):\n    pass\n")
    (folder / "_shared.py").write_text("raise RuntimeError\n")
    found = list_own_pages(folder.parent)
    assert [each.name for each in found] == ["stock", "sales", "late_orders"]
    assert [each.title for each in found] == ["Stock", "Sales", "Late orders"]


def test_one_named_as_a_page_of_the_platform_has_an_address_of_its_own(folder: Path) -> None:
    (folder / "runs.py").write_text(PAGE.format(title="My runs", order=1))
    assert [each.name for each in list_own_pages(folder.parent)] == ["own-runs"]


@pytest.mark.parametrize("text", ["1 / 0\n", "def render(:\n", "import no_such_module\n", "TITLE = 'x'\n"])
def test_one_that_does_not_load_says_why_when_it_is_opened(folder: Path, text: str) -> None:
    (folder / "broken.py").write_text(text)
    (folder / "sales.py").write_text(PAGE.format(title="Sales", order=2))
    sales, broken = list_own_pages(folder.parent)
    assert sales.title == "Sales", "the others are as they were"
    with pytest.raises(ConfigError, match=r"dashboards/broken\.py does not load: \w+Error"):
        broken.render(None)  # type: ignore[arg-type]


def test_a_changed_file_is_read_again(folder: Path) -> None:
    file = folder / "sales.py"
    file.write_text(PAGE.format(title="Sales", order=1))
    assert list_own_pages(folder.parent)[0].title == "Sales"
    file.write_text(PAGE.format(title="Orders", order=1))
    os.utime(file, ns=(1, 1))
    assert list_own_pages(folder.parent)[0].title == "Orders"


def test_a_project_without_the_folder_has_none(tmp_path: Path) -> None:
    assert list_own_pages(tmp_path) == []


def test_a_page_may_import_packages_of_its_project(folder: Path) -> None:
    (folder.parent / "own_package_of_pages").mkdir()
    (folder.parent / "own_package_of_pages" / "__init__.py").write_text("TITLE = 'From a package'\n")
    (folder / "sales.py").write_text(
        "from own_package_of_pages import TITLE\n\ndef render(context):\n    pass\n"
    )
    assert list_own_pages(folder.parent)[0].title == "From a package"
