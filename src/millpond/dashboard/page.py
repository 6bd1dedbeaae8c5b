"""The pages: the platform's, and those of the project's folder `dashboards/`, a Python file each."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from millpond.dashboard import pages
from millpond.errors import ConfigError

if TYPE_CHECKING:
    from millpond.dashboard.context import Context

FOLDER: Final = "dashboards"
_ICON: Final = ":material/bar_chart:"


@dataclass(frozen=True)
class Page:
    """A page: its name in the address, what the navigation shows, and what draws it."""

    name: str
    title: str
    icon: str
    order: float
    render: Callable[[Context], None]


def list_pages() -> list[Page]:
    """Return the platform's pages, in the order of the navigation."""
    found = [_read_page(name, importlib.import_module(f"{pages.__name__}.{name}")) for name in _list_names()]
    return sorted(found, key=lambda each: (each.order, each.name))


def list_own_pages(project: Path) -> list[Page]:
    """Return the pages of a project; one that does not load says so when it is opened.

    A file is read again when it changes, and may import packages of the project. Files whose names begin with
    an underscore are no pages.
    """
    if str(project) not in sys.path:
        sys.path.append(str(project))
    taken = _list_names()
    found = []
    for file in sorted((project / FOLDER).glob("[!_]*.py")):
        name = f"own-{file.stem}" if file.stem in taken else file.stem
        found.append(_load_page(name, file, file.stat().st_mtime_ns))
    return sorted(found, key=lambda each: (each.order, each.name))


def _list_names() -> list[str]:
    return [each.name for each in pkgutil.iter_modules(pages.__path__) if not each.name.startswith("_")]


@lru_cache(maxsize=200)
def _load_page(name: str, file: Path, _changed: int) -> Page:
    spec = importlib.util.spec_from_file_location(f"millpond_dashboards.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return _read_page(name, module)
    except Exception as error:  # noqa: BLE001 - a file of a project may raise anything
        return _build_broken_page(name, file, error)


def _read_page(name: str, module: ModuleType) -> Page:
    render: Any = module.render
    title = str(getattr(module, "TITLE", name.replace("_", " ").capitalize()))
    return Page(
        name, title, str(getattr(module, "ICON", _ICON)), float(getattr(module, "ORDER", 100)), render
    )


def _build_broken_page(name: str, file: Path, error: Exception) -> Page:
    def render(_: Context) -> None:
        raise ConfigError(
            f"{FOLDER}/{file.name} does not load: {type(error).__name__}: {error}",
            unharmed="every other page",
            next_step="mend the file and open the page again; it needs a function render(context)",
        ) from error

    return Page(name, name, ":material/error:", 1000, render)
