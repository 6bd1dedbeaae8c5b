"""Skips work that dbt repeats for each node without using it: a third of the time of a day's build."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, wraps
from typing import Any

import jinja2
import parsedatetime

from millpond.internals.dbt import (
    BaseEvent,
    BehaviorFlagRendered,
    EventLevel,
    EventManager,
    Linker,
    MacroFuzzTemplate,
    ModelContext,
    ParsedNode,
    PluginManager,
    RuntimeProvider,
    catch_jinja,
    ctx_set_event_manager,
    dbt_compilation,
    dbt_jinja,
    dbt_test_task,
    dbtClassMixin,
    get_environment,
    get_invocation_id,
    get_template_of_common,
    json_schemas,
    skip_flag_source,
    skip_schema_defaults,
    track_behavior_change_warn,
)
from millpond.transform.dbt_calls import read_yaml_once, use_locks_of_threads
from millpond.transform.dbt_events import RESULTS, DbtEvents
from millpond.transform.dbt_macros import make_macros_on_demand

PASSED_ON = frozenset({"GenericExceptionOnRun", "CatchableExceptionOnRun"})
"""Events that are passed on at any level."""
_NOT_PASSED_ON = frozenset({"LogStartLine", "LogStartBatch", "LogBatchResult"})
"""Events of a command's progress, which nothing reads."""


class QuietEventManager(EventManager):
    """Passes events on to loggers and callbacks, except debug events, of which a model fires dozens.

    Where only a `DbtEvents` listens, it receives results as they are, and no other events of information:
    dbt makes a message of each, which takes longer than what it tells.
    """

    def fire_event(self, e: BaseEvent, level: EventLevel | None = None, *more: Any, **named: Any) -> None:
        """Pass on an event of dbt."""
        name, of = type(e).__name__, level or e.level_tag()
        if name not in PASSED_ON:
            if of == EventLevel.DEBUG or name in _NOT_PASSED_ON:
                return
            if listeners := self._find_listeners():
                fields = e.__dict__.get("_unfilled") if of != EventLevel.WARN else None
                if name in RESULTS and fields is not None:
                    for listener in listeners:
                        listener.take_result(name, get_invocation_id(), fields)
                    return
                if of == EventLevel.INFO:
                    return
        super().fire_event(e, level, *more, **named)

    def _find_listeners(self) -> list[DbtEvents]:
        """Return who listens, if nobody else does; the callback of dbt itself sends statistics of its use."""
        others = [each for each in self.callbacks if each is not track_behavior_change_warn]
        found = [each for each in others if isinstance(each, DbtEvents)]
        return found if len(found) == len(others) and not self.loggers else []


@cache
def patch_dbt() -> None:
    """Have dbt in this process look for plugins once, not look for the source of flags, skip debug events.

    For each of its flags dbt inspects the whole call stack, to name the file that declared it. It formats
    each debug event, wraps each of its 560 macros for each node and copies them for each argument of a test,
    compiles a node's templates each time, writes its SQL into two files, links all nodes of the project in
    each call, and converts each of them to a dictionary for a summary of the graph.
    """
    ctx_set_event_manager(QuietEventManager())
    plugins: Any = PluginManager
    plugins.get_prefixed_modules = cache(PluginManager.get_prefixed_modules)
    skip_flag_source(BehaviorFlagRendered)
    skip_schema_defaults(json_schemas)
    parsedatetime.Constants = cache(parsedatetime.Constants)
    nodes: Any = ParsedNode
    nodes.write_node = lambda *_: None
    _fill_lazily(BaseEvent)
    make_macros_on_demand()
    native: Any = get_environment(native=True).template_class
    native.new_context = MacroFuzzTemplate.new_context
    linkers: Any = Linker
    linkers.get_graph_summary = summarize_graph
    compilers: Any = dbt_compilation.Compiler
    compilers.compile = _link_once(compilers.compile)
    rendering: Any = dbt_jinja
    rendering.get_template = _get_template
    compiling: Any = dbt_compilation
    compiling.generate_runtime_model_context = _make_compile_context
    compiling.inject_ctes_into_sql = find_with_first(compiling.inject_ctes_into_sql)
    read_yaml_once()
    use_locks_of_threads()
    running_tests: Any = dbt_test_task
    running_tests.generate_runtime_model_context = _make_run_context
    _validate_on_demand(dbtClassMixin)


@contextmanager
def parse_macros_once() -> Iterator[None]:
    """Have dbt parse the text of each macro once within: it does to find the macro, and for what it calls."""
    kind: Any = type(get_environment())
    parse = kind.parse
    known: dict[str, jinja2.nodes.Template] = {}

    def parse_once(environment: Any, source: str, *place: Any) -> jinja2.nodes.Template:
        if source not in known:
            known[source] = parse(environment, source, *place)
        return known[source]

    kind.parse = parse_once
    try:
        yield
    finally:
        kind.parse = parse


_WITH = re.compile(r"\s*with\s+(?!recursive\b)(?=[a-z_])", re.IGNORECASE)
"""The start of a query, before the name of its first common table expression."""


def find_with_first(inject: Callable[..., str]) -> Callable[..., str]:
    """Have rows of unit tests and ephemeral models put into a query without parsing all of its text."""

    @wraps(inject)
    def put(sql: str, ctes: Sequence[Any]) -> str:
        begin = None if ";" in sql else _WITH.match(sql)
        if begin is None or not ctes:
            return inject(sql, ctes)
        return f"{begin[0]}{', '.join(cte.sql for cte in ctes)}, {sql[begin.end() :]}"

    return put


_skipping_validation: list[bool] = []


@contextmanager
def skip_validation() -> Iterator[None]:
    """Skip dbt's validation with JSON schemas within: parsing has done it, and building schemas is slow."""
    _skipping_validation.append(True)
    try:
        yield
    finally:
        _skipping_validation.pop()


def _validate_on_demand(classes: Any) -> None:
    validate = classes.validate.__func__
    classes.validate = classmethod(lambda cls, data: None if _skipping_validation else validate(cls, data))


def _fill_lazily(events: Any) -> None:
    """Format debug events only when they are read."""
    fill_in, read, write = events.__init__, events.__getattr__, events.__setattr__

    def start(event: Any, *args: Any, **named: Any) -> None:
        if not args and (type(event).__name__ in _NOT_PASSED_ON or event.level_tag() == EventLevel.DEBUG):
            event.__dict__["_unfilled"] = named
        else:
            fill_in(event, *args, **named)

    def filled(event: Any) -> Any:
        if (named := event.__dict__.pop("_unfilled", None)) is not None:
            fill_in(event, **named)
        return event

    def get(event: Any, name: str) -> Any:
        return getattr(filled(event), name) if "_unfilled" in event.__dict__ else read(event, name)

    def put(event: Any, name: str, value: Any) -> None:
        write(event if name == "pb_msg" else filled(event), name, value)

    events.__init__, events.__getattr__, events.__setattr__ = start, get, put


def _link_once(link: Callable[..., Any]) -> Callable[..., Any]:
    """Have calls that pass the same manifest share the graph of its nodes, of which each takes a part."""
    known: OrderedDict[tuple[int, bool], tuple[Any, Any]] = OrderedDict()

    def compile_graph(compiler: Any, manifest: Any, write: bool = True, add_test_edges: bool = False) -> Any:
        if not _skipping_validation:  # of a call that parses
            return link(compiler, manifest, write, add_test_edges)
        key = id(manifest), add_test_edges
        if key not in known:
            known[key] = manifest, link(compiler, manifest, write, add_test_edges)
            if len(known) > _GRAPHS:
                known.popitem(last=False)
        compiler.initialize()
        return known[key][1]

    return compile_graph


def summarize_graph(linker: Any, manifest: Any) -> dict[int, dict[str, Any]]:
    """Return dbt's summary of a graph; dbt itself converts every node to a dictionary to read its kind."""
    numbers = {name: number for number, name in enumerate(linker.graph)}
    found: dict[int, dict[str, Any]] = {}
    for name, number in numbers.items():
        found[number] = {"name": name, "type": str(manifest.expect(name).resource_type)}
        if after := [numbers[each] for each in linker.graph.successors(name)]:
            found[number]["succ"] = after
    return found


_GRAPHS = 4
_COMPILED = {"sql": "sql", "compiled_code": "compiled_code"}
"""What compiling adds to a context, with the attributes that it comes from."""
_last = threading.local()
"""The context that this thread compiled a node in last."""


def _make_compile_context(model: Any, config: Any, manifest: Any) -> dict[str, Any]:
    context = ModelContext(model, config, manifest, RuntimeProvider(), None)
    found: dict[str, Any] = context.to_dict()  # type: ignore[no-untyped-call]
    _last.compiled = (context, found)
    return found


def _make_run_context(model: Any, config: Any, manifest: Any) -> dict[str, Any]:
    """Return the context in which a data test was compiled, with what compiling has added to the test."""
    context, found = getattr(_last, "compiled", (None, {}))
    if context is None or context.model is not model or context.manifest is not manifest:
        return _make_compile_context(model, config, manifest)
    del _last.compiled
    found |= {name: getattr(context, of) for name, of in _COMPILED.items()}
    if dict.__contains__(found, "model") or dict.__contains__(found["builtins"], "model"):
        found["model"] = context.ctx_model  # else it is made when it is read
    return found


def _get_template(
    string: str, ctx: dict[str, Any], node: Any = None, capture_macros: bool = False, native: bool = False
) -> jinja2.Template:
    if capture_macros:
        return get_template_of_common(string, ctx, node, capture_macros, native)
    with catch_jinja(node):
        environment, code = _compile_template(str(string), native)
        return environment.template_class.from_code(environment, code, environment.make_globals(ctx), None)


@lru_cache(4096)
def _compile_template(source: str, native: bool) -> tuple[jinja2.Environment, Any]:
    environment = _get_environment(native)
    return environment, environment.compile(source)


@cache
def _get_environment(native: bool) -> jinja2.Environment:
    return get_environment(native=native)
