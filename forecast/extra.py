"""The packages that training and serving need beside the platform's: the extra `forecast`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from typing import Final

from millpond.errors import ConfigError

_MODULES: Final = {"sklearn": "scikit-learn", "skops": "skops", "threadpoolctl": "threadpoolctl"}
_COMPUTING: Final = ("numpy", "pyarrow", "scikit-learn", "skops")


def require_extra() -> None:
    """Raise ConfigError if a package of the extra is not installed."""
    if missing := [package for module, package in _MODULES.items() if find_spec(module) is None]:
        raise ConfigError(
            f"the forecast needs packages that are not installed: {', '.join(missing)}",
            unharmed="everything; no stage ran",
            next_step="`pip install 'millpond[forecast]'`",
        )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that compute a model."""
    require_extra()
    return {name: metadata.version(name) for name in _COMPUTING}


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread within the block, so that sums are added in the same order everywhere."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield
