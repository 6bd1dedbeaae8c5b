"""The overview."""

from __future__ import annotations

import streamlit as st

from millpond.dashboard.context import Context
from millpond.dashboard.text import escape

TITLE, ICON, ORDER = "Overview", ":material/dashboard:", 10


def render(context: Context) -> None:
    """Show how many assets there are, by layer."""
    selected = context.selected
    st.metric("Assets", len(selected))
    if not selected:
        st.info("No asset passes the filters.")
    for layer in context.assets.choices.layer or ():
        names = [spec.key.to_user_string() for spec in selected if spec.tags.get("layer") == layer]
        if names:
            st.subheader(escape(layer), anchor=False)
            st.write(", ".join(map(escape, names)))
