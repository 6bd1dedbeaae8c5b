"""The documentation is served with Dagster's pages, and its links work there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from posixpath import dirname, join, normpath

import pytest

from millpond.cli.doc_pages import find_doc, render_doc, render_list, render_markdown
from millpond.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md"))


def test_the_list_names_every_page() -> None:
    listed = re.findall(r'<a href="([^"]+)"', render_list())
    assert {*PAGES, "CHANGELOG.md", "CONTRIBUTING.md", "README.md"} <= set(listed)


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_between_pages_work(page: str) -> None:
    file = find_doc(page)
    assert file
    links = re.findall(r'(?:href|src)="([^"]+)"', render_doc(file))
    for link in links:
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link) or link == "/docs/":
            continue
        path = (
            target.removeprefix("/docs/") if target.startswith("/") else normpath(join(dirname(page), target))
        )
        found = find_doc(page if not target else path)
        if found is None:
            assert (DOCS / path).exists() or not path.endswith(".md"), link
            continue
        if anchor and found.suffix == ".md":
            assert f'id="{anchor}"' in render_doc(found), link


def test_a_page_of_the_project_comes_before_one_of_the_platform(
    tmp_path: Path, configure: Callable[..., Settings]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "runbook.md").write_text("# Ours\n\n<script>alert(1)</script>\n")
    (tmp_path / "secret.md").write_text("x")
    (tmp_path / "docs" / "link.md").symlink_to(tmp_path / "secret.md")
    configure(project=tmp_path)
    file = find_doc("runbook")
    assert file == tmp_path / "docs" / "runbook.md"
    assert "<script>" not in render_doc(file)
    assert find_doc("tour.md") == DOCS / "tour.md"
    assert [find_doc(path) for path in ("../secret.md", "link.md", "nowhere.md", "hooks.py")] == [None] * 4


def test_a_heading_has_the_anchor_of_the_site() -> None:
    assert '<h2 id="set-up-a-channel">' in render_markdown("## Set up a channel\n")
    assert '<h3 id="millpond-up">' in render_markdown("### `millpond up`\n")
