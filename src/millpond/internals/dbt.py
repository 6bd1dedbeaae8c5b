"""Parts of dbt, its adapters and dbt_common."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from millpond.internals.on_demand import import_on_demand

if TYPE_CHECKING:
    from dbt.adapters.base.relation import EventTimeFilter
    from dbt.adapters.contracts.connection import LazyHandle
    from dbt.adapters.duckdb.environments.local import LocalEnvironment
    from dbt.adapters.duckdb.impl import DuckDBAdapter
    from dbt.adapters.trino import Plugin as TrinoPlugin
    from dbt.adapters.trino.connections import ConnectionWrapper, TrinoConnectionManager
    from dbt.adapters.trino.impl import TrinoAdapter
    from dbt.adapters.trino.relation import TrinoRelation
    from dbt.artifacts.schemas.catalog import CatalogArtifact
    from dbt.cli import requires as dbt_requires
    from dbt.clients import checked_load as dbt_checked_load
    from dbt.clients import jinja as dbt_jinja
    from dbt.clients import yaml_helper as dbt_yaml
    from dbt.clients.jinja import MacroGenerator
    from dbt.compilation import Linker
    from dbt.config import profile as dbt_profile
    from dbt.config import project as dbt_project
    from dbt.config.project import Project
    from dbt.config.runtime import UnsetProfile
    from dbt.context import providers as dbt_providers
    from dbt.context.macros import MacroNamespace, MacroNamespaceBuilder
    from dbt.context.providers import ModelContext, RuntimeProvider
    from dbt.contracts.graph.nodes import ParsedNode
    from dbt.exceptions import UninstalledPackagesFoundError
    from dbt.flags import get_flags
    from dbt.graph.selector import NodeSelector
    from dbt.include.global_project import PROJECT_NAME as GLOBAL_PROJECT_NAME
    from dbt.materializations.incremental.microbatch import MicrobatchBuilder
    from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder
    from dbt.plugins.manager import PluginManager
    from dbt.task import test as dbt_test_task
    from dbt.task.compile import CompileTask
    from dbt.tracking import track_behavior_change_warn
    from dbt_common.behavior_flags import BehaviorFlagRendered
    from dbt_common.clients.jinja import MacroFuzzTemplate, catch_jinja, get_environment, template_cache
    from dbt_common.clients.jinja import get_template as get_template_of_common
    from dbt_common.dataclass_schema import dbtClassMixin
    from dbt_common.events.base_types import BaseEvent, EventLevel
    from dbt_common.events.event_manager import EventManager
    from dbt_common.events.event_manager_client import ctx_set_event_manager
    from dbt_common.invocation import get_invocation_id
    from mashumaro.core.meta.code.builder import CodeBuilder
    from mashumaro.jsonschema import schema as json_schemas

    from dbt import compilation as dbt_compilation

PARTS = {
    "dbt_compilation": "dbt.compilation",
    "EventTimeFilter": "dbt.adapters.base.relation:EventTimeFilter",
    "LazyHandle": "dbt.adapters.contracts.connection:LazyHandle",
    "LocalEnvironment": "dbt.adapters.duckdb.environments.local:LocalEnvironment",
    "DuckDBAdapter": "dbt.adapters.duckdb.impl:DuckDBAdapter",
    "TrinoPlugin": "dbt.adapters.trino:Plugin",
    "ConnectionWrapper": "dbt.adapters.trino.connections:ConnectionWrapper",
    "TrinoConnectionManager": "dbt.adapters.trino.connections:TrinoConnectionManager",
    "TrinoAdapter": "dbt.adapters.trino.impl:TrinoAdapter",
    "TrinoRelation": "dbt.adapters.trino.relation:TrinoRelation",
    "CatalogArtifact": "dbt.artifacts.schemas.catalog:CatalogArtifact",
    "dbt_checked_load": "dbt.clients.checked_load",
    "dbt_jinja": "dbt.clients.jinja",
    "dbt_profile": "dbt.config.profile",
    "dbt_project": "dbt.config.project",
    "dbt_providers": "dbt.context.providers",
    "dbt_requires": "dbt.cli.requires",
    "dbt_yaml": "dbt.clients.yaml_helper",
    "Linker": "dbt.compilation:Linker",
    "MacroGenerator": "dbt.clients.jinja:MacroGenerator",
    "Project": "dbt.config.project:Project",
    "UnsetProfile": "dbt.config.runtime:UnsetProfile",
    "MacroNamespace": "dbt.context.macros:MacroNamespace",
    "MacroNamespaceBuilder": "dbt.context.macros:MacroNamespaceBuilder",
    "ModelContext": "dbt.context.providers:ModelContext",
    "RuntimeProvider": "dbt.context.providers:RuntimeProvider",
    "ParsedNode": "dbt.contracts.graph.nodes:ParsedNode",
    "UninstalledPackagesFoundError": "dbt.exceptions:UninstalledPackagesFoundError",
    "get_flags": "dbt.flags:get_flags",
    "GLOBAL_PROJECT_NAME": "dbt.include.global_project:PROJECT_NAME",
    "NodeSelector": "dbt.graph.selector:NodeSelector",
    "MicrobatchBuilder": "dbt.materializations.incremental.microbatch:MicrobatchBuilder",
    "extended_mashumaro_encoder": "dbt.parser.manifest:extended_mashumaro_encoder",
    "extended_mashumuro_decoder": "dbt.parser.manifest:extended_mashumuro_decoder",
    "PluginManager": "dbt.plugins.manager:PluginManager",
    "dbt_test_task": "dbt.task.test",
    "CompileTask": "dbt.task.compile:CompileTask",
    "track_behavior_change_warn": "dbt.tracking:track_behavior_change_warn",
    "BehaviorFlagRendered": "dbt_common.behavior_flags:BehaviorFlagRendered",
    "MacroFuzzTemplate": "dbt_common.clients.jinja:MacroFuzzTemplate",
    "catch_jinja": "dbt_common.clients.jinja:catch_jinja",
    "get_environment": "dbt_common.clients.jinja:get_environment",
    "template_cache": "dbt_common.clients.jinja:template_cache",
    "get_template_of_common": "dbt_common.clients.jinja:get_template",
    "dbtClassMixin": "dbt_common.dataclass_schema:dbtClassMixin",
    "BaseEvent": "dbt_common.events.base_types:BaseEvent",
    "EventLevel": "dbt_common.events.base_types:EventLevel",
    "EventManager": "dbt_common.events.event_manager:EventManager",
    "ctx_set_event_manager": "dbt_common.events.event_manager_client:ctx_set_event_manager",
    "get_invocation_id": "dbt_common.invocation:get_invocation_id",
    "json_schemas": "mashumaro.jsonschema.schema",
    "CodeBuilder": "mashumaro.core.meta.code.builder:CodeBuilder",
}

__getattr__ = import_on_demand(__name__, PARTS)


def skip_flag_source(flags: type[BehaviorFlagRendered]) -> None:
    """Have dbt not inspect the call stack for the file that declared each behavior flag."""
    flags._default_source = staticmethod(lambda: "dbt")  # type: ignore[method-assign]


def skip_schema_defaults(schemas: Any) -> None:
    """Have mashumaro's JSON schemas leave out default values, for each of which it generates a class.

    Validation, which is all that dbt uses them for, does not read them.
    """
    schemas._default = lambda *_: None


_MADE_WHEN_READ = frozenset(
    {"dbt_metadata_envs", "flags", "invocation_args_dict", "model", "modules", "this", "var"}
)
"""Members of a context that few templates read; each stays as it is while its template is rendered."""


def use_variables(variables: type[Any], macros: type[Any], on_demand: type[Any]) -> None:
    """Have dbt keep the variables of templates in `variables()`, with the macros of `macros(…)`.

    Members that few templates read are made when they are read, by `on_demand(parts, make)`.
    """
    from dbt.context import providers
    from dbt.context.exceptions_jinja import CONTEXT_EXPORTS, wrapper
    from dbt.context.manifest import ManifestContext

    contexts: Any = ManifestContext
    to_dict = contexts.to_dict

    def build_namespace(context: Any) -> Any:
        _share_packages(context.config, context.manifest)
        context._ctx = variables()
        builder, found = context._get_namespace_builder(), context.manifest.get_macros_by_package()
        return macros(builder, found, context._ctx)

    def build_variables(context: Any) -> Any:
        if not isinstance(context.namespace, macros):  # of a test that is being parsed
            return to_dict(context)
        members = context._context_members_
        late = {name: members[name] for name in _MADE_WHEN_READ & members.keys()}
        builtins = on_demand(late, lambda member: member.__get__(context))
        for name, member in members.items():
            if name not in late:
                builtins[name] = member.__get__(context) if hasattr(member, "__get__") else member
        context._ctx.fill(builtins, context.namespace)
        return context._ctx

    contexts._build_namespace, contexts.to_dict = build_namespace, build_variables
    of_nodes: Any = providers
    wrap: Any = wrapper
    of_nodes.wrapped_exports = lambda node: on_demand(CONTEXT_EXPORTS, wrap(node))


_packages: OrderedDict[tuple[int, str], tuple[Any, Any]] = OrderedDict()
_MANIFESTS = 4


def _share_packages(config: Any, manifest: Any) -> None:
    """Have calls that pass the same manifest share the projects of its packages, which dbt reads for each."""
    key = id(manifest), config.target_name
    if config.dependencies is not None:  # of a call that parses, or whose first node this is not
        return
    if key not in _packages:
        _packages[key] = manifest, config.load_dependencies()
        if len(_packages) > _MANIFESTS:
            _packages.popitem(last=False)
    config.dependencies = {**_packages[key][1], config.project_name: config}


def make_macros_once(generators: Any, providers: Any) -> None:
    """Have dbt make a macro once for each node that calls it, and look up once where adapters have theirs."""
    make = generators.get_macro

    def get_macro(generator: Any) -> Any:
        made = generator.__dict__.get("_made")
        if made is None or made[0] is not generator.context:
            made = generator._made = generator.context, make(generator)
        return made[1]

    generators.get_macro = get_macro
    providers.get_adapter_type_names = cache(providers.get_adapter_type_names)


def list_plugins(env: LocalEnvironment) -> list[Any]:
    """Return the plugins of a DuckDB that dbt-duckdb opened."""
    return list(env._plugins.values())


def skip_foreign_keys(adapters: type[DuckDBAdapter], where: Callable[[], bool]) -> None:
    """Have dbt-duckdb not look for foreign keys before each model where there are none."""
    skipped: Any = adapters
    lock = skipped._acquire_foreign_key_lock
    skipped._acquire_foreign_key_lock = lambda adapter, model: not where() and lock(adapter, model)


def list_compile_results(catalog: CatalogArtifact | object) -> list[Any]:
    """Return the compile results in the result of `dbt docs generate`, if it compiled."""
    return getattr(getattr(catalog, "_compile_results", None), "results", None) or []
