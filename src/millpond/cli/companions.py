"""The process that a command starts beside its own, so that dbt is warm when there is something to build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_PACKAGE, _WARM_UP = "millpond.transform", "millpond.transform.warm:warm_up"


@contextmanager
def builder(*, needed: bool = True) -> Iterator[None]:
    """Have models built by a companion within the block; start it before importing what takes long.

    Until the first run begins, this process searches for no garbage.
    """
    from millpond.runtime.companion import companion
    from millpond.runtime.garbage import pause_search, resume_search

    if not needed:
        yield
        return
    pause_search()
    try:
        with companion(_PACKAGE, _WARM_UP):
            yield
    finally:
        resume_search()


def dismiss_builder_unless_due(assets: Iterable[str]) -> None:
    """End the builder now if none of `assets` is a model."""
    from millpond.runtime.companion import dismiss
    from millpond.settings import settings
    from millpond.transform.manifest import described

    parsed = described(settings())
    if not parsed or not {model.key for model in parsed.models().values()} & set(assets):
        dismiss(_PACKAGE)
