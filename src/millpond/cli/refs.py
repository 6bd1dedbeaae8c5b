"""The ref that a command works on."""

from __future__ import annotations

from millpond.errors import RefNotFound
from millpond.naming import MAIN_REF, ref_name
from millpond.settings import settings


def existing(ref: str | None) -> str:
    """Return `ref`, or the one of the settings; raises RefNotFound telling how to create it."""
    name = ref_name(ref or settings().ref)
    if name == MAIN_REF:
        return name
    from millpond.lake.catalog import catalog  # takes a second or two, which main does without

    try:
        catalog(name)
    except RefNotFound as error:
        raise RefNotFound(
            error.what,
            unharmed=error.unharmed,
            next_step=f"create it: `millpond branch create {name}`; see `millpond branch list`",
        ) from None
    return name
