"""The documentation of project and platform as pages of Dagster's web server, below `/docs/`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt  # comes with rich
from markdown_it.token import Token

from millpond.project.template import root
from millpond.settings import Settings, settings

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{max-width:52em;margin:2em auto;padding:0 1em;font:16px/1.5 sans-serif;overflow-wrap:break-word}"
    "pre,code{background:#8882}pre,table{display:block;overflow-x:auto}"
    "td,th{padding:.2em .8em .2em 0;text-align:left;vertical-align:top}img{max-width:100%}"
)
_TOP: Final = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md")
"""Pages that are beside the folder of docs, and are shown as if they were in it."""
_AT_TOP: Final = re.compile(rf"^(?:\.\./)+({'|'.join(_TOP)})")
_OTHERS: Final = frozenset({".png", ".svg", ".jpg", ".gif", ".json"})
_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False}).enable("table")


def find_doc(path: str) -> Path | None:
    """Return the file of a page or what it shows, the project's before the platform's; None without one."""
    wanted = path if path.endswith(".md") or Path(path).suffix in _OTHERS else f"{path}.md"
    for folder in _list_folders(settings()):
        within = folder.parent if wanted in _TOP else folder
        file = within / wanted
        if file.is_file() and file.resolve().is_relative_to(within.resolve()):
            return file
    return None


def render_doc(file: Path) -> str:
    """Return a page of the documentation as HTML; links between pages and to headings work."""
    text = file.read_text()
    if file.name in _TOP:
        text = text.replace("](docs/", "](")
    return build_page(_read_title(file), render_markdown(text))


def render_list() -> str:
    """Return the list of all pages as HTML."""
    listed: dict[str, str] = {}
    for folder in _list_folders(settings()):
        for path, file in _list_pages(folder):
            listed.setdefault(path, _read_title(file))
    links = "".join(
        f'<li><a href="{html.escape(path)}">{html.escape(title)}</a> <code>{html.escape(path)}</code>'
        for path, title in sorted(listed.items(), key=lambda each: (each[0].count("/"), each[0]))
    )
    return build_page("Documentation", f"<h1>Documentation</h1><ul>{links}</ul>", home="")


def build_page(title: str, body: str, *, home: str = "/docs/") -> str:
    """Return a whole page; `home` is the address of the list, empty for none."""
    up = f'<p><a href="{home}">All pages</a></p>' if home else ""
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><body>{up}{body}"
    )


def render_markdown(text: str) -> str:
    """Return Markdown as HTML; each heading has an anchor as on the site."""
    tokens = _MARKDOWN.parse(text)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", _find_anchor(inline))
        for child in inline.children or ():
            if child.type == "link_open":
                child.attrSet(
                    "href", re.sub(rf"^(?:\.\./)+({'|'.join(_TOP)})", r"/docs/\1", str(child.attrs["href"]))
                )
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))


def _find_anchor(heading: Token) -> str:
    words = "".join(child.content for child in heading.children or ())
    return re.sub(r"\s+", "-", re.sub(r"[^\w\- ]", "", words.strip().lower()))


def _list_folders(configured: Settings) -> list[Path]:
    return list(dict.fromkeys((configured.project / "docs", root() / "docs")))


def _list_pages(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*.md")):
        yield file.relative_to(folder).as_posix(), file
    for name in _TOP:
        if (file := folder.parent / name).is_file() and folder.is_dir():
            yield name, file


def _read_title(file: Path) -> str:
    heading = re.search(r"^# (.+)$", file.read_text(), re.MULTILINE)
    return heading[1] if heading else file.stem
