"""The Streamlit script: the navigation, the filters, and the open page with its errors as sentences."""

from __future__ import annotations

import datetime as dt
import importlib
import logging
import pkgutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import streamlit as st

from millpond.dashboard import pages
from millpond.dashboard.assets import load_assets
from millpond.dashboard.context import Context
from millpond.dashboard.filter_bar import show_filters
from millpond.dashboard.filters import Choices, Filters
from millpond.dashboard.links import Links
from millpond.dashboard.text import describe_error, escape
from millpond.dashboard.theme import Scheme
from millpond.settings import Settings, settings

_log = logging.getLogger(__name__)
_ICON = Path(__file__).with_name("icon.svg")
"""A file: Streamlit loads an icon that is only named from another server."""


def main() -> None:
    """Show the page that is open."""
    st.set_page_config(page_title="Millpond", page_icon=str(_ICON), layout="wide")
    made: dict[str, Any] = {}
    for number, (name, module) in enumerate(list_pages()):
        made[name] = st.Page(
            partial(_open_page, module, made),
            title=module.TITLE,
            icon=module.ICON,
            url_path="" if number == 0 else name,
            default=number == 0,
        )
    st.navigation([*made.values()]).run()


def list_pages() -> list[tuple[str, ModuleType]]:
    """Return the modules of the pages with their names, in the order of the navigation."""
    names = [each.name for each in pkgutil.iter_modules(pages.__path__) if not each.name.startswith("_")]
    modules = [(name, importlib.import_module(f"{pages.__name__}.{name}")) for name in names]
    return sorted(modules, key=lambda each: (each[1].ORDER, each[0]))


def _open_page(module: ModuleType, every: Mapping[str, Any]) -> None:
    title = str(module.TITLE)
    st.title(title, anchor=False)
    with_errors_as_text(title, partial(_show_page, module, every))


def _show_page(module: ModuleType, every: Mapping[str, Any]) -> None:
    configured = settings()
    filters = show_filters(_find_choices(configured), dt.datetime.now(configured.zone).date())
    scheme = cast("Scheme", st.context.theme.type or "light")
    context = Context(filters, configured, Links.of(configured), scheme, every)
    _show_period(filters, configured)
    render = partial(with_errors_as_text, str(module.TITLE), partial(module.render, context))
    st.fragment(render, run_every=filters.refresh or None)()


def with_errors_as_text(page: str, show: Callable[[], None]) -> None:
    """Call `show`; an error becomes a sentence on the page, and a traceback in the log of this process."""
    try:
        show()
    except Exception as error:  # noqa: BLE001 - a page may raise anything
        _log.error("%s cannot be shown", page, exc_info=error)
        st.error(describe_error(error, page))


def _find_choices(configured: Settings) -> Choices:
    try:
        with st.spinner("Loading the definitions …"):
            return load_assets(configured).choices
    except Exception as error:  # noqa: BLE001 - definitions may raise anything
        _log.error("the definitions do not load", exc_info=error)
        st.warning(describe_error(error, "The list of sources, layers and owners"))
        return Choices()


def _show_period(filters: Filters, configured: Settings) -> None:
    chosen = {name: getattr(filters, name) for name in ("source", "layer", "owner")}
    said = [f"{filters.first} to {filters.last}, {configured.timezone}", f"ref {configured.ref}"]
    said += [f"{name} {', '.join(values)}" for name, values in chosen.items() if values]
    st.caption(" · ".join(map(escape, said)))


if __name__ == "__main__":
    main()
