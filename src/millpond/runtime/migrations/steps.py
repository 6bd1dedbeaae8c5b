"""The steps that bring a home's tables in Postgres to what this release needs, in order.

A step that was released is never edited: a change of a table is a new step at the end. CONTRIBUTING.md says
what a step may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from millpond.runtime.migrations import first_catalog, first_ops


@dataclass(frozen=True)
class Step:
    """What one release changed: one statement or several for each schema that it concerns.

    With `on_opening` it is applied by whatever opens the home first, so it must be quick and only add. Others
    wait for `millpond upgrade`, and so do all that come after them.
    """

    number: int
    name: str
    catalog: LiteralString = ""
    ops: LiteralString = ""
    on_opening: bool = True

    def sql(self, schema: str) -> LiteralString:
        """Return what it does in `schema`, which may be nothing."""
        return {"catalog": self.catalog, "ops": self.ops}[schema]


STEPS: Final = (
    Step(
        1,
        "the tables of release 0.1, made where they are missing",
        catalog=first_catalog.TABLES,
        ops=first_ops.TABLES,
    ),
)
