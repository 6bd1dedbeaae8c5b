"""Parts of dlt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millpond.internals.on_demand import import_on_demand
from millpond.internals.result_cache import remember_results

if TYPE_CHECKING:
    from dlt.common import json, jsonpath
    from dlt.common.configuration.specs import RuntimeConfiguration
    from dlt.common.runtime.anon_tracker import disable_anon_tracker

PARTS = {
    "json": "dlt.common:json",
    "jsonpath": "dlt.common.jsonpath",
    "RuntimeConfiguration": "dlt.common.configuration.specs:RuntimeConfiguration",
    "disable_anon_tracker": "dlt.common.runtime.anon_tracker:disable_anon_tracker",
}

__getattr__ = import_on_demand(__name__, PARTS)

_MOST_HINTS = 1000


def remember_secret_hints() -> None:
    """Have dlt derive once whether a type is one of secrets, not for each place that a value may come from.

    That is most of the work of reading its configuration, which a load does 20 times.
    """
    from dlt.common.configuration import is_secret_hint, resolve
    from dlt.common.configuration.providers import environ

    remembered = remember_results(is_secret_hint, _MOST_HINTS)
    for module in (resolve, environ):
        module.is_secret_hint = remembered  # type: ignore[attr-defined]
