"""Reading settings of which one is wrong."""

from __future__ import annotations

import pytest

from millpond.errors import ConfigError
from millpond.settings import read_settings


def refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> ConfigError:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as error:
        read_settings()
    return error.value
