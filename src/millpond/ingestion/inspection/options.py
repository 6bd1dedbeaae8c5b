"""What somebody who adds a source has said: its name, where it is, and what shall not be guessed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from millpond.errors import ConfigError

UNHARMED = "everything; nothing was written"


@dataclass(frozen=True)
class Options:
    """The options of `millpond sources new`; `taken` are the names of raw tables that are in use."""

    name: str
    kind: str
    url: str | None = None
    table: str | None = None
    path: str | None = None
    key: tuple[str, ...] = ()
    time: str | None = None
    window: Mapping[str, str] = field(default_factory=dict)
    taken: Collection[str] = ()
    account: tuple[str | None, str | None] = (None, None)
    """User and password of the address that was typed."""

    def free_name(self, name: str) -> str:
        """Return `name` for the raw table, after the source's name if another source has one of that name."""
        name = name or self.name
        return f"{self.name}_{name}" if name in self.taken else name

    def address(self, example: str) -> str:
        """Return the address; raises ConfigError where none was given."""
        if not self.url:
            raise ConfigError(
                "no address was given",
                unharmed=UNHARMED,
                next_step=f"give it by --url, for example --url {example}",
            )
        return self.url
