"""Cases of dbt's public adapter test suite, by the module they stand in, and what they are told of DuckDB.

A case that cannot pass is named in `CANNOT` with the reason, and in docs/dbt.md.
"""

from __future__ import annotations

from importlib import import_module
from types import FunctionType
from typing import Any

import pytest
from dbt.tests.adapter.basic import expected_catalog
from dbt.tests.util import AnyInteger, AnyString

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CASES = {
    "aliases.test_aliases": "BaseAliases BaseAliasErrors BaseSameAliasDifferentSchemas",
    "basic.test_adapter_methods": "BaseAdapterMethod",
    "basic.test_base": "BaseSimpleMaterializations",
    "basic.test_docs_generate": "BaseDocsGenerate",
    "basic.test_empty": "BaseEmpty",
    "basic.test_ephemeral": "BaseEphemeral",
    "basic.test_generic_tests": "BaseGenericTests",
    "basic.test_incremental": "BaseIncremental BaseIncrementalNotSchemaChange BaseIncrementalBadStrategy",
    "basic.test_singular_tests": "BaseSingularTests",
    "basic.test_singular_tests_ephemeral": "BaseSingularTestsEphemeral",
    "basic.test_snapshot_check_cols": "BaseSnapshotCheckCols",
    "basic.test_snapshot_timestamp": "BaseSnapshotTimestamp",
    "basic.test_table_materialization": "BaseTableMaterialization",
    "basic.test_validate_connection": "BaseValidateConnection",
    "caching.test_caching": (
        "BaseCachingLowercaseModel BaseCachingUppercaseModel BaseCachingSelectedSchemaOnly "
        "BaseNoPopulateCache"
    ),
    "concurrency.test_concurrency": "BaseConcurrency",
    "constraints.test_constraints": (
        "BaseConstraintsRollback BaseTableConstraintsColumnsEqual "
        "BaseViewConstraintsColumnsEqual BaseIncrementalConstraintsColumnsEqual "
        "BaseIncrementalConstraintsRollback BaseTableContractSqlHeader "
        "BaseIncrementalContractSqlHeader BaseIncrementalForeignKeyConstraint"
    ),
    "dbt_clone.test_dbt_clone": "BaseCloneNotPossible BaseCloneSameTargetAndState",
    "dbt_show.test_dbt_show": "BaseShowLimit BaseShowSqlHeader BaseShowDoesNotHandleDoubleLimit",
    "empty.test_empty": "BaseTestEmpty BaseTestEmptyInlineSourceRef",
    "ephemeral.test_ephemeral": "BaseEphemeralErrorHandling",
    "hooks.test_model_hooks": (
        "BasePrePostModelHooksOnSeeds BaseHooksRefsOnSeeds "
        "BasePrePostModelHooksOnSeedsPlusPrefixed "
        "BasePrePostModelHooksOnSeedsPlusPrefixedWhitespace BasePrePostModelHooksOnSnapshots "
        "BasePrePostSnapshotHooksInConfigKwargs BaseDuplicateHooksInConfigs"
    ),
    "incremental.test_incremental_merge_exclude_columns": "BaseMergeExcludeColumns",
    "incremental.test_incremental_on_schema_change": "BaseIncrementalOnSchemaChange",
    "incremental.test_incremental_predicates": "BaseIncrementalPredicates",
    "incremental.test_incremental_unique_id": "BaseIncrementalUniqueKey",
    "persist_docs.test_persist_docs": "BasePersistDocsCommentOnQuotedColumn",
    "query_comment.test_query_comment": (
        "BaseQueryComments BaseMacroQueryComments BaseMacroArgsQueryComments "
        "BaseMacroInvalidQueryComments BaseNullQueryComments BaseEmptyQueryComments"
    ),
    "simple_copy.test_simple_copy": "SimpleCopyBase",
    "simple_seed.test_seed": (
        "BaseBasicSeedTests BaseSeedConfigFullRefreshOff BaseSeedCustomSchema "
        "BaseSeedWithUniqueDelimiter BaseSeedWithWrongDelimiter BaseSeedWithEmptyDelimiter "
        "BaseSimpleSeedEnabledViaConfig BaseSeedParsing BaseTestEmptySeed"
    ),
    "simple_snapshot.test_snapshot": "BaseSimpleSnapshot BaseSnapshotCheck",
    "store_test_failures_tests.basic": (
        "StoreTestFailuresAsInteractions StoreTestFailuresAsProjectLevelOff "
        "StoreTestFailuresAsProjectLevelView StoreTestFailuresAsProjectLevelEphemeral "
        "StoreTestFailuresAsGeneric StoreTestFailuresAsExceptions"
    ),
    "store_test_failures_tests.test_store_test_failures": (
        "BaseStoreTestFailures BaseStoreTestFailuresLimit"
    ),
    "unit_testing.test_types": "BaseUnitTestingVarcharFixtureNoTruncation",
    "utils.test_array_append": "BaseArrayAppend",
    "utils.test_array_concat": "BaseArrayConcat",
    "utils.test_array_construct": "BaseArrayConstruct",
    "utils.test_current_timestamp": "BaseCurrentTimestampAware",
    "utils.test_equals": "BaseEquals",
    "utils.test_source_freshness_custom_info": "BaseCalculateFreshnessMethod",
    "utils.test_validate_sql": "BaseValidateSqlMethod",
}

CANNOT = {
    "BaseIncrementalBadStrategy.test_incremental_invalid_strategy": (
        "dbt-duckdb looks for the macro of a strategy only where the table is there already"
    ),
    "BaseBasicSeedTests.test_simple_seed_full_refresh_flag": "DuckDB keeps a view whose table is dropped",
    "BaseEquals.test_equal_values": "dbt-duckdb's fast seeds read `null` as a text",
    "BaseEquals.test_build_assert_equal": "the same seed",
    "SimpleCopyBase.test_simple_copy_with_materialized_views": "DuckDB has no materialized views",
}


class DuckTypes:
    """DuckDB's names of types, and its words for a null where none may be."""

    @pytest.fixture
    def string_type(self) -> str:
        return "VARCHAR"

    @pytest.fixture
    def data_types(self, schema_int_type: str, int_type: str, string_type: str) -> list[list[str]]:
        zoned = "'2013-11-03 00:00:00-07'::timestamptz"
        return [
            ["1", schema_int_type, int_type],
            ["'1'", string_type, string_type],
            ["true", "bool", "BOOL"],
            [zoned, "timestamptz", "TIMESTAMP WITH TIME ZONE"],
            ["'2013-11-03 00:00:00'::timestamp", "timestamp", "TIMESTAMP"],
            ["['a', 'b']", "varchar[]", "VARCHAR[]"],
            ["[1, 2]", "int[]", "INTEGER[]"],
            ["1::numeric", "numeric", "DECIMAL"],
            ["""'{"bar": 1}'::json""", "json", "JSON"],
        ]

    @pytest.fixture(scope="class")
    def expected_error_messages(self) -> list[str]:
        return ["NOT NULL constraint failed"]


class DuckCatalog:
    """What `dbt docs generate` finds: DuckDB's types, and the statistics of each table."""

    @pytest.fixture(scope="class")
    def expected_catalog(self, project: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
        shared = {"role": None, "id_type": "INTEGER", "text_type": "VARCHAR", "time_type": "TIMESTAMP"}
        shared |= {"view_type": "VIEW", "table_type": "BASE TABLE", "model_stats": _statistics()}
        if "References" in request.cls.__name__:
            return expected_catalog.expected_references_catalog(project, bigint_type="BIGINT", **shared)
        return expected_catalog.base_expected_catalog(project, **shared)


def _statistics() -> dict[str, Any]:
    found = {
        "row_count": ("Rows", AnyInteger(), "Rows of the current version"),
        "bytes": ("Size in bytes", AnyInteger(), "Bytes of its data files"),
        "written_at": ("Written at (UTC)", AnyString(), "Time of the current version"),
    }
    said = "Indicates whether there are statistics for this table"
    each = {
        id: {"id": id, "label": label, "value": value, "description": text, "include": True}
        for id, (label, value, text) in found.items()
    }
    has = {"id": "has_stats", "label": "Has Stats?", "value": True, "description": said, "include": False}
    return {"has_stats": has, **each}


def _failing(test: FunctionType, why: str) -> FunctionType:
    """Return a copy of a test, which other cases may share, that is known to fail."""
    copy = FunctionType(test.__code__, test.__globals__, test.__name__, test.__defaults__, test.__closure__)
    marked: FunctionType = pytest.mark.xfail(strict=True, reason=why)(copy)
    return marked


TOLD = {"constraints.test_constraints": DuckTypes, "basic.test_docs_generate": DuckCatalog}

for module, names in CASES.items():
    for name in names.split():
        case = getattr(import_module(f"dbt.tests.adapter.{module}"), name)
        told = TOLD.get(module)
        failing = {key.partition(".")[2]: why for key, why in CANNOT.items() if key.startswith(f"{name}.")}
        marked = {test: _failing(getattr(case, test), why) for test, why in failing.items()}
        test = type(f"Test{name.removeprefix('Base')}", (told, case) if told else (case,), marked)
        test.__module__ = __name__
        globals()[test.__name__ if test.__name__ not in globals() else f"{test.__name__}Again"] = test
