"""Skips work that dbt repeats in each call, before its first node and after its last."""

from __future__ import annotations

import threading
from copy import deepcopy
from functools import lru_cache
from typing import Any

from millpond.internals.dbt import dbt_checked_load, dbt_profile, dbt_project, dbt_requires, dbt_yaml


class _Threads:
    """In place of multiprocessing: dbt's tasks are threads, which need no lock of the operating system."""

    RLock = staticmethod(threading.RLock)


def use_locks_of_threads() -> None:
    """Have dbt not make locks of the operating system for each call."""
    calling: Any = dbt_requires
    calling.get_mp_context = lambda: _Threads


def read_yaml_once() -> None:
    """Have dbt parse the text of its project, its profile and its variables once, not in each call."""
    helpers: Any = dbt_yaml
    load = helpers.load_yaml_text
    parse = lru_cache(64)(load)

    def load_copy(contents: str, path: Any = None, loader: Any = helpers.SafeLoader) -> Any:
        if loader is not helpers.SafeLoader:
            return load(contents, path, loader)
        return deepcopy(parse(contents))

    checks: Any = dbt_checked_load
    check = lru_cache(16)(checks.checked_load)

    projects: Any = dbt_project
    profiles: Any = dbt_profile
    projects.checked_load = lambda contents: deepcopy(check(contents))
    helpers.load_yaml_text = projects.load_yaml_text = profiles.load_yaml_text = load_copy
