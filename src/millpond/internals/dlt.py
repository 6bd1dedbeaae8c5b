"""Parts of dlt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millpond.internals.on_demand import import_on_demand

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
