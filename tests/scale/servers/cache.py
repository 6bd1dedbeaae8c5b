"""Where the servers' programs lie: outside the repository, each whole or not there at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from millpond.runtime.home import exclusive

VARIABLE = "SCALE_SERVERS_CACHE"
_FOLDER = Path(os.environ.get(VARIABLE) or "~/.cache/millpond-servers").expanduser()


def cache() -> Path:
    """Return the folder of all installed servers; made if need be."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    return _FOLDER


def installed(name: str, make: Callable[[Path], None], hint: str) -> Path:
    """Return folder `name` of the cache; where it is missing, `make` fills a new one first.

    Others that want the same wait. What a killed installation left is removed by the next one.
    """
    folder = cache() / name
    if folder.exists():
        return folder
    with exclusive(cache() / f"{name}.lock", doing=f"installing {name}", timeout=1800):
        if not folder.exists():
            for left in cache().glob(f"{name}.new-*"):
                shutil.rmtree(left)
            unfinished = Path(tempfile.mkdtemp(prefix=f"{name}.new-", dir=cache()))
            began = time.monotonic()
            print(f"installing {name} ({hint}) …", flush=True)
            try:
                make(unfinished)
            except BaseException:
                shutil.rmtree(unfinished)
                raise
            unfinished.chmod(0o755)
            unfinished.rename(folder)
            print(f"installed {name} in {time.monotonic() - began:.0f} s", flush=True)
    return folder
