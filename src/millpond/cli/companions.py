"""The process that a command starts beside its own, so that dbt is warm when there is something to build."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

_PACKAGE, _WARM_UP = "millpond.transform", "millpond.transform.warm:warm_up"


def builder(*, needed: bool = True) -> AbstractContextManager[None]:
    """Have models built by a companion within the block; start it before importing what takes long."""
    from millpond.runtime.companion import companion

    return companion(_PACKAGE, _WARM_UP) if needed else nullcontext()


def dismiss_builder_unless_due(assets: Iterable[str]) -> None:
    """End the builder now if none of `assets` is a model."""
    from millpond.runtime.companion import dismiss
    from millpond.settings import settings
    from millpond.transform.manifest import described

    parsed = described(settings())
    if not parsed or not {model.key for model in parsed.models().values()} & set(assets):
        dismiss(_PACKAGE)
