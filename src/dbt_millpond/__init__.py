"""dbt imports each module called `dbt_…`: this one gives projects that build in the lake our dbt package."""

from __future__ import annotations

from dbt.plugins import dbtPlugin


class Millpond(dbtPlugin):
    """Called after dbt has read a project and before it reads the project's packages."""

    def initialize(self) -> None:
        """Add what projects with another profile have no use for, and nothing to those."""
        from millpond.transform.package import supply

        supply()


plugins = [Millpond]
