"""What a project defines in Python beside the platform: assets, checks, jobs, schedules, resources.

The module is an ordinary one of Dagster: it holds a `dg.Definitions`, or a function decorated with
`@dg.definitions` that returns one.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from millpond.automation.conditions import EXEMPTION
from millpond.errors import ConfigError, MillpondError
from millpond.internals.dagster import LazyDefinitions
from millpond.project.config import Project, make_importable, read_project
from millpond.resources.run import OWN_PARTITIONS
from millpond.runs.selection import takes_many_days
from millpond.settings import Settings

_UNHARMED = "all data; nothing was started"


class OwnDefinitions:
    """The parts of a project's definitions, sorted by how the platform treats them.

    Of the assets that are made by code, `joining` can be made in one run with the platform's: they have its
    days, of which one run takes many, or no partitions. The `others` are automated as they say themselves.
    """

    def __init__(self, own: dg.Definitions | None, days: dg.PartitionsDefinition[Any]) -> None:
        given = own or dg.Definitions()
        made = [_mark(each, days) for each in given.assets or () if isinstance(each, dg.AssetsDefinition)]
        self.apart = _apart(made, days)
        self.joining = [each for each in made if not self.apart & each.keys]
        self.others = [each for each in made if self.apart & each.keys]
        self.external = [each for each in given.assets or () if not isinstance(each, dg.AssetsDefinition)]
        self.checks = list(given.asset_checks or ())
        self.jobs, self.schedules = list(given.jobs or ()), list(given.schedules or ())
        self.sensors = list(given.sensors or ())
        self.resources: Mapping[str, Any] = given.resources or {}
        self.loggers = given.loggers
        self.executor = given.executor

    def refuse_names_of(self, platform: Iterable[dg.AssetsDefinition]) -> None:
        """Raise ConfigError if an asset here has the key of one of the platform's."""
        taken = frozenset[dg.AssetKey]().union(*(each.keys for each in platform))
        mine = [key for each in [*self.joining, *self.others] for key in each.keys]
        twice = {key for key in mine if key in taken or mine.count(key) > 1}
        if twice:
            names = ", ".join(sorted(key.to_user_string() for key in twice))
            raise ConfigError(
                f"two assets have the key {names}: one of the project's own definitions and another",
                unharmed=_UNHARMED,
                next_step="give the one in the project's module another key",
            )


def _mark(each: dg.AssetsDefinition, days: dg.PartitionsDefinition[Any]) -> dg.AssetsDefinition:
    """Return an asset whose partitions are not the platform's with metadata that says so."""
    if all(spec.partitions_def in (None, days) for spec in each.specs):
        return each
    return each.map_asset_specs(lambda spec: spec.merge_attributes(metadata={OWN_PARTITIONS: True}))


def _apart(made: Sequence[dg.AssetsDefinition], days: dg.PartitionsDefinition[Any]) -> set[dg.AssetKey]:
    """Return the assets that cannot be made in a run of the platform's, and what is made from these."""
    specs = {spec.key: (spec, each) for each in made for spec in each.specs}
    apart = {key for key, (spec, each) in specs.items() if not _joins(spec, each, days)}
    while more := {
        key
        for key, (spec, _) in specs.items()
        if key not in apart and any(dep.asset_key in apart for dep in spec.deps)
    }:
        apart |= more
    return apart


def _joins(spec: dg.AssetSpec, of: dg.AssetsDefinition, days: dg.PartitionsDefinition[Any]) -> bool:
    if spec.automation_condition or EXEMPTION in spec.metadata or not of.is_executable or of.is_observable:
        return False
    return spec.partitions_def is None or (
        spec.partitions_def == days and takes_many_days(of.backfill_policy)
    )


def load_own(configured: Settings) -> dg.Definitions | None:
    """Return what the project's own module defines; None if it names none.

    Raises ConfigError if there is no such module, it cannot be imported, or it defines nothing.
    """
    project = read_project(configured.code)
    if not project.definitions:
        return None
    module = _import(project, project.definitions)
    kinds = (dg.Definitions, LazyDefinitions)
    found = list({id(each): each for each in vars(module).values() if isinstance(each, kinds)}.values())
    if len(found) != 1:
        raise ConfigError(
            f"{project.definitions} defines {len(found) or 'no'} dg.Definitions; it must define one",
            unharmed=_UNHARMED,
            next_step="end the module with `defs = dg.Definitions(assets=[…])`, of all that it is to hold",
        )
    return found[0] if isinstance(found[0], dg.Definitions) else _call(project, found[0])


def _import(project: Project, name: str) -> Any:
    make_importable(project)
    try:
        return importlib.import_module(name)
    except MillpondError:
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"[tool.millpond] in {project.root / 'pyproject.toml'} names definitions = {name!r}, "
                f"but there is no module {error.name}",
                unharmed=_UNHARMED,
                next_step=f"make {name.replace('.', '/')}.py in the project, or correct the name",
            ) from None
        raise _broken_error(project, error) from error


def _call(project: Project, lazy: Callable[[], dg.Definitions]) -> dg.Definitions:
    try:
        return lazy()
    except MillpondError:
        raise
    except Exception as error:
        raise _broken_error(project, error) from error


def _broken_error(project: Project, error: Exception) -> ConfigError:
    """Return the error for a module that raised, with the last place in the project that it went through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if Path(each.filename).is_relative_to(project.root)]
    where = f" ({Path(own[-1].filename).relative_to(project.root)}, line {own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        file = Path(error.filename)
        shown = file.relative_to(project.root) if file.is_relative_to(project.root) else file
        where = f" ({shown}, line {error.lineno})"
    first = (str(error).splitlines() or [""])[0]
    return ConfigError(
        f"{project.definitions} does not load{where}: {type(error).__name__}: {first}",
        unharmed=_UNHARMED,
        next_step="correct the file; `millpond reload` has automation run it then",
    )
