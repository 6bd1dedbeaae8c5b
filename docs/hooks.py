"""What the site needs beyond its pages: those at the root of the repository, and nothing from the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
_AT_THE_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "README.md": "index.md"}
_ELSEWHERE = re.compile(
    r"<(?:script|img|link (?!rel=.canonical))[^>]*(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
)


def on_files(files: Any, config: Any) -> Any:
    """Add changelog and contributing guide as pages, with links as they are from docs/."""
    for name in ("CHANGELOG.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text().replace("](docs/", "](")
        for other, page in _AT_THE_ROOT.items():
            text = text.replace(f"]({other}", f"]({page}")
        files.append(File.generated(config, _AT_THE_ROOT[name], content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Have links to files at the root lead to their pages."""
    for name, page in _AT_THE_ROOT.items():
        markdown = markdown.replace(f"](../../{name}", f"](../{page}").replace(f"](../{name}", f"]({page}")
    return markdown


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that a browser completes from the network."""
    if found := _ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_path} loads {found[0]} from the network")
    return output
