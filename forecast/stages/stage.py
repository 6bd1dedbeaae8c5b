"""What every stage is given, and how it reads and writes JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecast.source_rows import Pin
    from forecast.spec import Config

Metadata = dict[str, Any]
"""What a stage says of its work: numbers, texts, lists and dictionaries of them."""


@dataclass(frozen=True)
class Work:
    """One run of a stage: `inputs` are the folders of earlier stages by name, `output` is its own, empty.

    `pin` is what `ingest` reads. `last_good` is the folder of the model that `evaluate` compares with,
    None if there is none.
    """

    config: Config
    inputs: Mapping[str, Path]
    output: Path
    pin: Pin | None = None
    last_good: Path | None = None
    log: Callable[[str], None] = field(default=lambda _: None)


def read_json(file: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(file.read_bytes())


def write_json(file: Path, value: Any) -> None:
    """Write a value as JSON with sorted keys."""
    file.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
