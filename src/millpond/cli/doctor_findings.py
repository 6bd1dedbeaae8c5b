"""What a check of `millpond doctor` finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["problem", "hint"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong (`problem`) or worth knowing (`hint`), and what to do about it.

    `fix` mends it without harm to anything else; None where a person has to decide.
    """

    what: str
    remedy: str
    kind: Kind = "problem"
    fix: Callable[[], object] | None = None


Check = Callable[[], Iterator[Finding]]
