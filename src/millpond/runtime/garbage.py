"""Python's search for garbage: there is none while modules load, and searching takes a sixth of that time."""

from __future__ import annotations

import gc


def pause_search() -> None:
    """Search for no garbage until `resume_search`; for the start of a command, not for its work."""
    gc.disable()


def resume_search() -> None:
    """Search again, if paused, but not through what is there now: loaded modules stay until the end."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
