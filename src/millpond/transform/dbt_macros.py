"""Has dbt wrap a macro for a node when the node first uses it, not all of its 560 macros for each node."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterator, KeysView, Mapping
from typing import Any

from millpond.internals.dbt import (
    GLOBAL_PROJECT_NAME,
    MacroGenerator,
    MacroNamespace,
    MacroNamespaceBuilder,
    dbt_providers,
    make_macros_once,
    use_variables,
)


class OnDemand(dict[str, Any]):
    """A dictionary that makes some of its values when they are first read.

    `parts` are what they are made from, by key; a value that was set comes before them.
    """

    def __init__(self, parts: Mapping[str, Any], make: Callable[[Any], Any]) -> None:
        super().__init__()
        self._parts, self._make = parts, make

    def __missing__(self, key: str) -> Any:
        value = self[key] = self._make(self._parts[key])
        return value

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self._parts

    def __bool__(self) -> bool:
        return True

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        try:
            return self[key]
        except KeyError:
            return default

    def complete(self) -> None:
        """Make all values; whatever needs more than single values calls this."""
        for key in self._parts:
            if not super().__contains__(key):
                self[key] = self._make(self._parts[key])
        self._parts = {}

    def __len__(self) -> int:
        self.complete()
        return super().__len__()

    def __iter__(self) -> Iterator[str]:
        self.complete()
        return super().__iter__()

    def keys(self) -> Any:
        """Return all keys."""
        self.complete()
        return super().keys()

    def values(self) -> Any:
        """Return all values."""
        self.complete()
        return super().values()

    def items(self) -> Any:
        """Return all keys and values."""
        self.complete()
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return a dictionary of all values."""
        return dict(self.items())

    def pop(self, *key: Any) -> Any:
        """Remove a value and return it."""
        self.complete()
        return super().pop(*key)

    def __delitem__(self, key: str) -> None:
        self.complete()
        super().__delitem__(key)


class Macros(OnDemand):
    """The macros that a node sees, by name, as `dbt.context.macros.MacroNamespace` finds them.

    A macro of the node's package comes before one of the project, then come the names of packages, then
    dbt's own macros.
    """

    def __init__(
        self,
        builder: MacroNamespaceBuilder,
        by_package: Mapping[str, Mapping[str, Any]],
        context: dict[str, Any],
    ) -> None:
        def make(macro: Any) -> MacroGenerator:
            return MacroGenerator(macro, context, builder.node, builder.thread_ctx)

        of_dbt: dict[str, Any] = {}
        for name in reversed(builder.internal_package_names_order):
            of_dbt |= by_package.get(name, {})
        others = {
            name: macros for name, macros in by_package.items() if name not in builder.internal_package_names
        }
        own = {**others.get(builder.root_package, {}), **others.get(builder.search_package, {})}
        super().__init__(of_dbt | own, make)
        self.global_project_namespace = OnDemand(of_dbt, make)
        self.packages = {name: OnDemand(macros, make) for name, macros in others.items()}
        for name, macros in {GLOBAL_PROJECT_NAME: self.global_project_namespace, **self.packages}.items():
            if name not in own:
                self[name] = macros

    def list_names(self, among: KeysView[str]) -> set[str]:
        """Return which of these names are names of macros or packages."""
        return (among & self._parts.keys()) | (among & dict.keys(self))

    get_from_package = MacroNamespace.get_from_package


class Variables(OnDemand):
    """The variables of a template, with the macros among them."""

    def __init__(self) -> None:
        super().__init__({}, lambda value: value)

    def fill(self, builtins: OnDemand, macros: Macros) -> None:
        """Add dbt's own variables, and macros, which come before them, as in dbt."""
        self.update(context=self, builtins=builtins)
        self.update(dict.items(builtins))
        for name in macros.list_names(dict.keys(self)):
            self[name] = macros[name]
        self._parts = ChainMap(macros, builtins)


def make_macros_on_demand() -> None:
    """Have dbt, in this process, use these classes when it renders templates."""
    use_variables(Variables, Macros, OnDemand)
    make_macros_once(MacroGenerator, dbt_providers)
