"""What dbt gets when it reads a project that builds in the lake, called by us or by hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from millpond.errors import ConfigError
from millpond.runtime.dbt_package import NAME, install
from millpond.settings import settings
from millpond.transform.invocation import get_variables

if TYPE_CHECKING:
    from millpond.internals.dbt import Project

_BUILT_IN = "dbt"
"""The namespace of macros that dbt and its adapters dispatch."""


def supply_package() -> None:
    """Add the package `millpond`, its place in dispatch, and variables to the project of the current call.

    Nothing is written into `dbt_project.yml`. What a project declares or overrides itself has precedence.
    """
    context = click.get_current_context(silent=True)
    found: Any = (context and context.obj) or {}
    project, profile = found.get("project"), found.get("profile")
    if project is None or not _is_lake_profile(profile):
        return
    if project.project_name == NAME:
        raise ConfigError(
            f"the dbt project in {project.project_root} is called {NAME}, like Millpond's own package",
            unharmed="everything",
            next_step="give it another name in its dbt_project.yml, there and below `models:`",
        )
    folder = Path(project.project_root) / project.packages_install_path
    found_in = install(folder)
    _refuse_missing_packages(project, found_in)
    if found_in != folder:
        project.packages_install_path = str(found_in)
    project.dispatch = _add_our_overrides(project.dispatch, project.project_name)
    for name, value in get_variables(settings()).items():
        project.vars.vars.setdefault(name, value)
    prefer_our_materializations()


def _is_lake_profile(profile: Any) -> bool:
    from millpond.internals.dbt import UnsetProfile

    if profile is None or isinstance(profile, UnsetProfile):  # `dbt deps` and `dbt clean` read no profile
        return False
    plugins = getattr(profile.credentials, "plugins", None) or ()
    return profile.profile_name == NAME or any(str(each.module).startswith(f"{NAME}.") for each in plugins)


def _refuse_missing_packages(project: Project, folder: Path) -> None:
    """Raise dbt's error for packages that are not installed; dbt itself would count ours as one of them."""
    from millpond.internals.dbt import UninstalledPackagesFoundError

    installed = [p for p in folder.iterdir() if p.is_dir() and p.name != NAME and not p.name.startswith("__")]
    if len(project.packages.packages) > len(installed):
        raise UninstalledPackagesFoundError(
            len(project.packages.packages),
            len(installed),
            project.packages_specified_path,
            project.packages_install_path,
        )


def _add_our_overrides(dispatch: list[dict[str, Any]], project: str) -> list[dict[str, Any]]:
    """Return the project's `dispatch` with our package before dbt's own macros and after all others."""
    declared = {entry["macro_namespace"]: list(entry["search_order"]) for entry in dispatch}
    order = declared.get(_BUILT_IN, [project, _BUILT_IN])
    if NAME not in order:
        place = order.index(_BUILT_IN) if _BUILT_IN in order else len(order)
        order[place:place] = [NAME]
    searched = declared | {_BUILT_IN: order}
    return [{"macro_namespace": name, "search_order": each} for name, each in searched.items()]


@cache
def prefer_our_materializations() -> None:
    """Have dbt use our materializations instead of the adapter's; the project's own come before both.

    dbt's own setting for this, a flag in `dbt_project.yml`, is deprecated and applies to every package.
    """
    from dbt.contracts.graph.manifest import Manifest

    original = Manifest.find_materialization_macro_by_name

    def find(manifest: Manifest, project_name: str, materialization_name: str, adapter_type: str) -> Any:
        found = original(manifest, project_name, materialization_name, adapter_type)
        ours = manifest.macros.get(f"macro.{NAME}.materialization_{materialization_name}_{adapter_type}")
        return found if ours is None or (found and found.package_name == project_name) else ours

    classes: Any = Manifest
    classes.find_materialization_macro_by_name = find
