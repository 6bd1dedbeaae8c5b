"""What our code uses of Dagster, dbt, PyIceberg and dlt, read from its text: nothing is imported here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
SOURCE = REPOSITORY / "src"
INTERNALS = "millpond.internals"
OURS = ("millpond", "dbt_millpond")
FAMILIES = ("dagster", "dbt", "dlt", "pyiceberg", "mashumaro")
"""Packages by the beginning of their names: `dagster_dbt` and `dbt_common` are among them."""

PUBLIC: dict[str, set[str] | None] = {
    # What `import dagster as dg` shows is what Dagster documents and deprecates before it goes.
    "dagster": None,
    "dagster_dbt": None,
    "dagster_docker": None,
    "dagster_postgres": None,
    "dagster_openlineage": None,
    # dbt documents calling it from Python, and these for whoever writes an adapter or a plugin of dbt-duckdb.
    "dbt.cli.main": {"dbtRunner", "dbtRunnerResult"},
    "dbt.contracts.graph.manifest": {"Manifest"},
    "dbt.adapters.base.meta": {"available"},
    "dbt.plugins": {"dbtPlugin"},
    "dbt.adapters.events.logging": {"AdapterLogger"},
    "dbt.adapters.duckdb.plugins": {"BasePlugin"},
    "dbt.adapters.duckdb.utils": {"TargetConfig"},
    "dbt_common.exceptions": None,
    # dlt documents its REST client and paginators, and the exceptions of a pipeline.
    "dlt": None,
    "dlt.pipeline.exceptions": None,
    "dlt.sources.helpers.rest_client.client": {"RESTClient"},
    "dlt.sources.helpers.rest_client.paginators": None,
    # PyIceberg warns a release before it changes these, which its pages on the API use or catalogs stand on.
    "pyiceberg.catalog": None,
    "pyiceberg.catalog.sql": {"SqlCatalog"},
    "pyiceberg.exceptions": None,
    "pyiceberg.expressions": None,
    "pyiceberg.io": {"FileIO"},
    "pyiceberg.io.pyarrow": {"PyArrowFileIO", "schema_to_pyarrow"},
    "pyiceberg.manifest": {"DataFile", "ManifestContent", "ManifestFile"},
    "pyiceberg.partitioning": {"PartitionField", "PartitionSpec", "UNPARTITIONED_PARTITION_SPEC"},
    "pyiceberg.schema": {"Schema"},
    "pyiceberg.table": {"DataScan", "FileScanTask", "Table", "Transaction"},
    "pyiceberg.table.metadata": {"TableMetadata"},
    "pyiceberg.table.snapshots": {"Operation", "Snapshot"},
    "pyiceberg.table.sorting": {"SortOrder", "UNSORTED_SORT_ORDER"},
    "pyiceberg.table.update": {"AssertCreate", "TableRequirement", "TableUpdate"},
    "pyiceberg.transforms": None,
    "pyiceberg.typedef": None,
    "pyiceberg.types": None,
}
"""What counts as public, by module: these names, or (None) all without an underscore."""

_BY_TEXT = {"setattr", "getattr", "hasattr", "_replace_method"}
"""Functions whose second argument is the name of an attribute of the first."""
_DEFINES = re.compile(r"(?:def|class) (_\w+)|\b(_\w+)(?:, self\._\w+)* ?(?::|=)")
"""What defines an underscored name; two may be assigned at once."""
UNDERSCORES = {
    "_replace": "the public way to copy a named tuple",
    "_exit": "os._exit",
    "_content": "requests, of which a body that was decoded is given back",
}
"""Underscored attributes of other objects that are no private parts of these packages."""


@dataclass
class Uses:
    """What one module of ours uses."""

    module: str
    nodes: list[ast.AST]
    """All of its syntax tree; none where nothing of these packages is named."""
    private: set[str] = field(default_factory=set)
    """Imports of private names, "module.name": right in the package of internals, else wrong."""
    parts: dict[str, str] = field(default_factory=dict)
    """Names of ours by which it knows parts of the internals, each as "module:name" there."""
    origins: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of the parts that it gives to others: the module of theirs, and the name there."""
    members: set[tuple[str, str]] = field(default_factory=set)
    """Parts and the attributes that are used of them."""


def files() -> list[Path]:
    """Return the Python files of the code, of the shipped sources and of the dbt project."""
    folders = (*(SOURCE / name for name in OURS), REPOSITORY / "sources", REPOSITORY / "dbt")
    return sorted(file for folder in folders for file in folder.rglob("*.py"))


@cache
def all_uses() -> dict[str, Uses]:
    """Return the uses of each module, by its name."""
    return {uses.module: uses for uses in map(_read, files())}


def used_by(part: str, attribute: str | None = None) -> list[str]:
    """Return the modules that use a part "module:name", or an attribute of it."""
    if attribute is None:
        return [m for m, uses in all_uses().items() if part in uses.parts.values()]
    return [m for m, uses in all_uses().items() if (part, attribute) in uses.members]


def is_theirs(module: str) -> bool:
    """Return whether a module is of one of these packages."""
    top = module.partition(".")[0]
    return top not in OURS and any(top == f or top.startswith(f"{f}_") for f in FAMILIES)


def is_private(module: str, name: str) -> bool:
    """Return whether a name in a module is beyond what the packages document."""
    if not is_theirs(module):
        return False
    public = PUBLIC.get(module, set())
    return name.startswith("_") or (public is not None and name not in public)


def foreign_underscores(uses: Uses) -> Iterator[str]:
    """Yield the underscored attributes that a module uses of objects of other packages."""
    for node in uses.nodes:
        if not isinstance(node, ast.Attribute) or not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if of_self or node.attr in UNDERSCORES or node.attr in _ours():
            continue
        if not _is_super(node.value):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def own_names(node: ast.ClassDef) -> set[str]:
    """Return the methods and attributes that a class defines itself."""
    found = {n.name for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    for inner in ast.walk(node):
        targets = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
        for target in targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(each, ast.Name) and inner in node.body:
                    found.add(each.id)
                elif isinstance(each, ast.Attribute) and ast.unparse(each.value) in ("self", "cls"):
                    found.add(each.attr)
    return found


def own_underscores(node: ast.ClassDef) -> set[str]:
    """Return the underscored attributes that a class uses of itself, its own or inherited."""
    return {
        inner.attr
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and inner.attr.startswith("_") and not inner.attr.startswith("__")
        if _is_super(inner.value) or ast.unparse(inner.value) in ("self", "cls")
    }


def _read(file: Path) -> Uses:
    root = SOURCE if file.is_relative_to(SOURCE) else REPOSITORY
    module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    text = file.read_text()
    concerns = any(name in text for name in (INTERNALS, *FAMILIES))
    uses = Uses(module, list(ast.walk(ast.parse(text))) if concerns else [])
    for node in uses.nodes:
        if isinstance(node, ast.Import):
            uses.private |= {a.name for a in node.names if is_private(a.name, "") and a.name not in PUBLIC}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            _note(uses, node)
    _members(uses)
    return uses


def _note(uses: Uses, node: ast.ImportFrom) -> None:
    assert node.module
    inside = uses.module.startswith(f"{INTERNALS}.")
    for alias in node.names:
        name = alias.asname or alias.name
        if is_private(node.module, alias.name):
            uses.private.add(f"{node.module}.{alias.name}")
        if node.module.startswith(f"{INTERNALS}."):
            uses.parts[name] = f"{node.module}:{alias.name}"
        elif inside and is_theirs(node.module):
            uses.parts[name] = f"{uses.module}:{name}"
            uses.origins[uses.parts[name]] = (node.module, alias.name)


def _members(uses: Uses) -> None:
    """Note what is used of parts by their name, by a variable that stands for one, or of an argument."""
    names = dict(uses.parts)
    for node in uses.nodes:
        if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(node.value, ast.Name):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and node.value.id in uses.parts:
                    names[target.id] = uses.parts[node.value.id]
    _attributes(uses, uses.nodes, names)
    for node in uses.nodes:
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            of = {a.arg: part for a in arguments if a.annotation and (part := _part(a.annotation, uses))}
            if of:
                _attributes(uses, ast.walk(node), of)


def _part(annotation: ast.expr, uses: Uses) -> str | None:
    """Return the part that an annotation names, also as `Part | None` or `Part[Of]`."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    while isinstance(annotation, ast.BinOp):
        annotation = annotation.left
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.slice if ast.unparse(annotation.value) == "type" else annotation.value
    return uses.parts.get(annotation.id) if isinstance(annotation, ast.Name) else None


def _attributes(uses: Uses, nodes: Iterable[ast.AST], names: dict[str, str]) -> None:
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            uses.members.add((names[node.value.id], node.attr))
        elif isinstance(node, ast.Call) and len(node.args) > 1 and ast.unparse(node.func) in _BY_TEXT:
            first, second = node.args[:2]
            is_name = isinstance(second, ast.Constant) and str(second.value).isidentifier()
            if is_name and isinstance(first, ast.Name) and first.id in names:
                uses.members.add((names[first.id], str(second.value)))


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "super"


@cache
def _ours() -> set[str]:
    """Return every underscored name that our code defines."""
    texts = [file.read_text() for file in files() if "internals" not in file.parts]
    return {name for text in texts for found in _DEFINES.findall(text) for name in found if name}
