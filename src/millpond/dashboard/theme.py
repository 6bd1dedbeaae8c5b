"""Colours of the dashboard, legible on light and on dark, and the settings of Streamlit's theme."""

from __future__ import annotations

from typing import Final, Literal

State = Literal["fine", "running", "late", "stale", "missing", "failed", "quarantined", "unreachable"]
Scheme = Literal["light", "dark"]

STATES: Final[dict[State, tuple[str, str]]] = {
    "fine": ("#1a7f37", "#3fb950"),
    "running": ("#0969da", "#58a6ff"),
    "late": ("#7a6e00", "#e3d13b"),
    "stale": ("#8250df", "#bc8cff"),
    "missing": ("#656d76", "#8b949e"),
    "failed": ("#cf222e", "#ff7b72"),
    "quarantined": ("#bc4c00", "#f0883e"),
    "unreachable": ("#bf3989", "#f778ba"),
}
"""Colour of each state on light and on dark; each contrasts with both backgrounds of its scheme."""
SYMBOLS: Final[dict[State, str]] = {
    "fine": "●",
    "running": "◔",
    "late": "◷",
    "stale": "◌",
    "missing": "○",
    "failed": "✕",
    "quarantined": "▲",
    "unreachable": "⊘",
}
"""Shown with the colour, for everybody who does not see it."""
SERIES: Final[dict[Scheme, tuple[str, ...]]] = {
    "light": ("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#9a6700", "#bf3989", "#0a6b8c", "#57606a"),
    "dark": ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff", "#d29922", "#f778ba", "#39c5cf", "#8b949e"),
}
"""Colours of lines and bars that stand for names, not for states."""
BACKGROUNDS: Final[dict[Scheme, tuple[str, str]]] = {
    "light": ("#ffffff", "#f6f8fa"),
    "dark": ("#0d1117", "#161b22"),
}
TEXTS: Final[dict[Scheme, str]] = {"light": "#0d1117", "dark": "#e6edf3"}
_BORDERS: Final[dict[Scheme, str]] = {"light": "#d0d7de", "dark": "#30363d"}
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_CODE_FONT: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"


def get_colour(state: State, scheme: Scheme) -> str:
    """Return the colour of a state."""
    return STATES[state][scheme == "dark"]


def build_options() -> dict[str, object]:
    """Return the options of Streamlit's theme; without a base it follows the system."""
    options: dict[str, object] = {
        "theme.font": _FONT,
        "theme.codeFont": _CODE_FONT,
        "theme.baseRadius": "small",
        "theme.paddingTop": "1rem",
        "theme.headingFontSizes": ["1.9rem", "1.5rem", "1.25rem", "1.1rem", "1rem", "0.9rem"],
        "theme.showWidgetBorder": True,
        "theme.linkUnderline": True,
    }
    for scheme in ("light", "dark"):
        background, second = BACKGROUNDS[scheme]
        options |= {
            f"theme.{scheme}.primaryColor": SERIES[scheme][0],
            f"theme.{scheme}.backgroundColor": background,
            f"theme.{scheme}.secondaryBackgroundColor": second,
            f"theme.{scheme}.textColor": TEXTS[scheme],
            f"theme.{scheme}.linkColor": SERIES[scheme][0],
            f"theme.{scheme}.borderColor": _BORDERS[scheme],
            f"theme.{scheme}.chartCategoricalColors": list(SERIES[scheme]),
        }
    return options
