"""Private parts of Dagster, dbt, PyIceberg and dlt: in one package, and as they were when we last looked."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
import uuid
from functools import cache

import internal_contract
import pyarrow as pa
import pytest
from internal_contract import ABSENT, Contract
from internal_uses import INTERNALS, OURS, all_uses, files, foreign_underscores, is_private, used_by

ON_DEMAND = ("dagster_on_demand", "dbt", "dlt")
RECORD = "python tests/unit/internals/internal_contract.py"


@cache
def recorded() -> Contract:
    found: Contract = json.loads(internal_contract.FILE.read_text())
    return found


@cache
def installed() -> Contract:
    command = [sys.executable, internal_contract.__file__, "--print"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: Contract = json.loads(ran.stdout)
    return found


def differences(before: Contract, now: Contract) -> list[str]:
    """Return a line for each part that is not as recorded: what it was, what it is, who uses it."""
    found = []
    for name in before.keys() | now.keys():
        was, has = before.get(name, "not recorded"), now.get(name, "no longer used, or gone")
        if was != has and ABSENT not in (was, has) and not _hidden(name, now):
            found.append(f"{name}\n    was {was}\n    is  {has}\n    used by {', '.join(users(name))}")
    return sorted(found)


def _hidden(name: str, now: Contract) -> bool:
    """Return whether a class cannot be looked at because its module does not load, which is a line itself."""
    module = name.partition(" ")[0].rpartition(".")[0]
    return " " in name and now.get(f"{module} can be loaded", "yes") != "yes"


def users(name: str) -> list[str]:
    """Return the modules of ours that use what the contract calls `name`."""
    if name.startswith("Dagster's table "):
        table = name.rpartition(" ")[2]
        texts = {file: file.read_text() for file in files()}
        return [file.stem for file, text in texts.items() if f" {table} " in text]
    if name.startswith(OURS):
        return [name.partition(" ")[0]]
    part, _, attribute = name.partition(":")[2].partition(".")
    module = f"{INTERNALS}.{name.partition(':')[0]}"
    found = used_by(f"{module}:{part}", attribute or None)
    return [user for user in found if user != module] or [module]


def test_each_private_part_is_there_and_called_as_before() -> None:
    found = differences(recorded(), installed())
    assert not found, (
        f"{len(found)} parts of Dagster, dbt, PyIceberg or dlt are not as recorded. Adapt the modules that"
        f" use them, then record them with `{RECORD}`:\n" + "\n".join(found)
    )


def test_a_part_that_changes_is_named_with_what_it_was_and_who_uses_it() -> None:
    now = dict(recorded())
    now["dagster_on_demand:DagsterStorage"] = "missing: cannot import name 'DagsterStorage'"
    now["dagster:copy_record"] = "(record, kwargs)"
    del now["millpond.instance.event_log.HomeEventLogStorage overrides _connect"]
    gone, renamed, moved = sorted(differences(recorded(), now), key=lambda line: "missing" not in line)
    assert "used by millpond.instance.storage" in gone
    users = "millpond.automation.sensors, millpond.instance.backfills, millpond.instance.pool_slots"
    assert renamed.endswith(f"used by {users}")
    assert "was (record, **kwargs)" in renamed
    assert "HomeEventLogStorage overrides _connect" in moved
    assert "gone" in moved


def test_private_names_are_imported_in_the_internals_and_nowhere_else() -> None:
    wrong = {
        module: sorted(uses.private)
        for module, uses in all_uses().items()
        if uses.private and not module.startswith(f"{INTERNALS}.")
    }
    assert not wrong, f"import these from {INTERNALS}, or a public name in their place"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("dagster._core.events", "DagsterEvent"),
        ("dagster_shared.error", "SerializableErrorInfo"),
        ("dagster_webserver.cli", "main"),
        ("dagster", "_core"),
        ("dbt", "compilation"),
        ("dbt.adapters.base.impl", "BaseAdapter"),
        ("dlt.common.jsonpath", "find_values"),
        ("pyiceberg.expressions.visitors", "_StrictMetricsEvaluator"),
        ("pyiceberg.table", "WriteTask"),
        ("pyiceberg.catalog", "_import_catalog"),
    ],
)
def test_a_name_that_is_not_documented_is_private(module: str, name: str) -> None:
    assert is_private(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("dagster", "DagsterEvent"),
        ("dbt.cli.main", "dbtRunner"),
        ("pyiceberg.table", "Table"),
        ("json", "_x"),
    ],
)
def test_a_name_that_is_documented_or_of_others_is_not_private(module: str, name: str) -> None:
    assert not is_private(module, name)


def test_private_names_are_imported_in_at_most_six_modules() -> None:
    assert len([module for module, uses in all_uses().items() if uses.private]) <= 6


def test_underscored_attributes_of_their_objects_are_used_in_the_internals_and_nowhere_else() -> None:
    wrong = {
        module: found
        for module, uses in all_uses().items()
        if not module.startswith(f"{INTERNALS}.") and (found := list(foreign_underscores(uses)))
    }
    assert not wrong, f"make these functions of {INTERNALS}"


@pytest.mark.parametrize("name", ON_DEMAND)
def test_what_mypy_sees_of_a_module_on_demand_is_what_it_gives(name: str) -> None:
    module = importlib.import_module(f"{INTERNALS}.{name}")
    uses = all_uses()[module.__name__]
    (block,) = (n for n in uses.nodes if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    seen = {
        alias.asname or alias.name: {f"{node.module}:{alias.name}", f"{node.module}.{alias.name}"}
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen.keys() == module.PARTS.keys()
    assert all(module.PARTS[part] in origins for part, origins in seen.items())


def test_a_name_that_no_module_on_demand_has_is_an_attribute_error() -> None:
    module = importlib.import_module(f"{INTERNALS}.dlt")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_a_process_loads_no_part_of_dagster_that_it_does_not_use() -> None:
    code = (
        "import sys; from millpond.internals.dagster_on_demand import SerializableErrorInfo;"
        "print([name for name in ('dagster', 'dbt', 'dagster_webserver') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_dagster_takes_an_announced_interrupt_for_one_that_came() -> None:
    from millpond.internals.dagster import announce_interrupt, interrupts

    announce_interrupt()
    assert interrupts.pop_captured_interrupt()
    assert not interrupts.pop_captured_interrupt()


def test_the_number_of_a_metadata_file_and_columns_without_ids_are_as_pyiceberg_has_them() -> None:
    from millpond.internals.pyiceberg import assign_fresh_schema_ids, convert_schema, parse_metadata_version

    assert parse_metadata_version(f"s3://lake/t/metadata/00041-{uuid.uuid4()}.metadata.json") == 41
    assert parse_metadata_version("s3://lake/t/metadata/first.metadata.json") == -1
    columns = convert_schema(pa.schema([("id", pa.int64()), ("day", pa.date32())]))
    assert [field.field_id for field in columns.fields] == [-1, -1]
    assert [field.field_id for field in assign_fresh_schema_ids(columns).fields] == [1, 2]
