"""What differs between profiles when dbt runs: so far only the target of the dbt profile."""

from __future__ import annotations

from typing import Final

from millpond.settings import Settings

_TARGETS: Final = {"embedded": "embedded", "scale": "scale"}


def target(settings: Settings) -> str:
    """Return the target in `dbt/profiles.yml` that builds models under the profile of `settings`."""
    return _TARGETS[settings.profile]
