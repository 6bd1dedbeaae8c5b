"""dbt imports each module called `dbt_…`: this one adds our dbt package to projects with our profile."""

from __future__ import annotations

from dbt.plugins import dbtPlugin


class Millpond(dbtPlugin):
    """Called after dbt has read a project and before it reads the project's packages."""

    def initialize(self) -> None:
        """Add the package, but not to projects with another profile."""
        from millpond.transform.package import supply_package

        supply_package()


plugins = [Millpond]
