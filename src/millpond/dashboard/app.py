"""The Streamlit script: the navigation, the filters, and the open page with its errors as sentences."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import streamlit as st

from millpond.dashboard.assets import load_assets
from millpond.dashboard.context import Context
from millpond.dashboard.filter_bar import show_filters
from millpond.dashboard.filters import Choices, Filters
from millpond.dashboard.links import Links
from millpond.dashboard.page import Page, list_own_pages, list_pages
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
    groups = {"Operations": list_pages(), "Dashboards": list_own_pages(settings().project)}
    for page in (each for found in groups.values() for each in found):
        first = not made
        made[page.name] = st.Page(
            partial(_open_page, page, made),
            title=page.title,
            icon=page.icon,
            url_path="" if first else page.name,
            default=first,
        )
    opened = st.navigation(list(made.values()), position="hidden")
    with st.sidebar:
        for group, found in groups.items():
            if found:
                st.markdown(f"**{group}**")
            for page in found:
                st.page_link(made[page.name], width="stretch")
        st.divider()
    opened.run()


def _open_page(page: Page, every: Mapping[str, Any]) -> None:
    st.title(escape(page.title), anchor=False)
    with_errors_as_text(page.title, partial(_show_page, page, every))


def _show_page(page: Page, every: Mapping[str, Any]) -> None:
    configured = settings()
    filters = show_filters(page.name, _find_choices(configured), dt.datetime.now(configured.zone).date())
    scheme = cast("Scheme", st.context.theme.type or "light")
    context = Context(filters, configured, Links.of(configured), scheme, every)
    _show_period(filters, configured)
    render = partial(with_errors_as_text, page.title, partial(page.render, context))
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
