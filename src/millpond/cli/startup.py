"""What a command does before Dagster loads: start the companion process for dbt, check asset names."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import dagster as dg

_PACKAGE, _PACKAGE_LOADED = "millpond.transform", "millpond.transform.runner"
_WARM_UP = f"{_PACKAGE_LOADED}:warm_up"
_AHEAD = (
    *("millpond.platform", "millpond.ingestion.load", "millpond.ingestion.acceptance"),
    *("millpond.ingestion.replay", "millpond.ingestion.migration", "millpond.ingestion.rest.reader"),
    *("millpond.ingestion.rest.fetch", "millpond.ingestion.files.reader", "millpond.ingestion.sql.reader"),
    *("millpond.transform.runner", "millpond.publish.publication", "millpond.instance.day_tables"),
    *("millpond.quality.checks", "millpond.runtime.sampling"),
)
"""What definitions and runs import, on first use as a rule."""


@contextmanager
def start_companion(*, needed: bool = True) -> Iterator[None]:
    """Build models in a companion process within the block if it is `needed`; start it before slow imports.

    Garbage collection is paused in this process until the first run starts. A process that has dbt loaded,
    as a fork of `millpond up` has, builds the models itself.
    """
    from millpond.runtime.companion import run_companion
    from millpond.runtime.garbage import pause_collection, resume_collection

    alone = not needed or _PACKAGE_LOADED in sys.modules
    pause_collection()
    try:
        with nullcontext() if alone else run_companion(_PACKAGE, _WARM_UP):
            yield
    finally:
        resume_collection()


def load_definitions() -> dg.Definitions:
    """Return the definitions, which need the parsed project.

    Where the companion still parses it, as in an empty home, this process would only wait: it imports
    meanwhile what the run will.
    """
    from millpond.runtime.companion import is_running
    from millpond.runtime.home import CODE_LOCATION
    from millpond.settings import settings
    from millpond.transform.manifest import is_parsed

    if is_running(_PACKAGE) and not is_parsed(settings()):
        for name in _AHEAD:
            importlib.import_module(name)
    found: dg.Definitions = importlib.import_module(CODE_LOCATION).defs
    return found


def dismiss_unneeded_companion(assets: Iterable[str]) -> None:
    """End the companion if none of `assets` is a model."""
    from millpond.runtime.companion import dismiss
    from millpond.settings import settings
    from millpond.transform.manifest import load_project_or_last

    parsed = load_project_or_last(settings())
    if not parsed or not {model.key for model in parsed.models().values()} & set(assets):
        dismiss(_PACKAGE)


_PLAIN: Final = re.compile(r"\+*([\w/]+)[+*]*")


@dataclass(frozen=True)
class AssetNames:
    """The file of asset names, and a hash of all that they depend on; create it before definitions load.

    Without a hash no names are stored.
    """

    file: Path
    project: str

    @classmethod
    def now(cls) -> AssetNames:
        """Return the names of the project as it is now."""
        import millpond
        from millpond.project.config import read_project
        from millpond.runtime.home import layout
        from millpond.settings import settings, source_files
        from millpond.transform.fingerprint import compute_fingerprint

        configured = settings()
        digest = hashlib.sha256(compute_fingerprint(configured).encode())
        if read_project(configured.code).definitions:  # which may define any asset
            return cls(Path(os.devnull), "")
        for file in source_files(configured.code):
            if file.suffix == ".py":  # whose tables may depend on anything
                return cls(Path(os.devnull), "")
            digest.update(f"{file}\0".encode() + file.read_bytes())
        for code in sorted(Path(str(millpond.__file__)).parent.rglob("*.py")):
            digest.update(f"{code}\0{code.stat().st_mtime_ns}\0".encode())
        return cls(layout(configured).run / "asset_names.json", digest.hexdigest())

    def refuse_unknown(self, selection: str) -> None:
        """Raise ConfigError if `selection` names an asset that does not exist, as far as names are stored."""
        if not self.project:
            return
        kept: dict[str, object] = {}
        with suppress(OSError, ValueError):
            kept = json.loads(self.file.read_text())
        names = kept.get("names")
        if kept.get("project") != self.project or not isinstance(names, list):
            return
        for term in selection.split(","):
            plain = _PLAIN.fullmatch(term.strip())
            if plain and plain[1] not in names:
                from millpond.naming import unknown_asset_error

                raise unknown_asset_error(plain[1], names)

    def keep(self, names: Iterable[str]) -> None:
        """Store the names of all assets of the loaded definitions."""
        if not self.project:
            return
        text = json.dumps({"project": self.project, "names": sorted(names)})
        with suppress(OSError):  # a read-only home
            if not self.file.exists() or self.file.read_text() != text:
                written = self.file.with_suffix(f".{os.getpid()}")
                written.write_text(text)
                written.replace(self.file)
