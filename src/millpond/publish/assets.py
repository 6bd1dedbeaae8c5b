"""The marts as Dagster assets `marts/<name>`; those of one domain are published in one step, all at once."""

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from millpond.errors import MillpondError
from millpond.instance.provenance import Inputs
from millpond.instance.unreachable import find_unreachable
from millpond.internals.dagster import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from millpond.naming import marts_schema
from millpond.publish.spec import MartSpec, read_marts
from millpond.redaction import redacted
from millpond.resources.run import RunInfo
from millpond.resources.steps import LAKE_STEP, TRANSIENT, CheckEvents, interrupts_are_final
from millpond.settings import settings

if TYPE_CHECKING:
    from millpond.publish.publication import PublishResult


GROUP = "marts"
CHECK = "equals_lake"
POOL = "publish"
_LOG = logging.getLogger(__name__)


def build_assets(
    manifest: Mapping[str, Any], keys: Mapping[str, str] | None = None
) -> list[dg.AssetsDefinition]:
    """Return the assets of all marts that the models of dbt's manifest declare; none if there are none.

    `keys` are the asset keys of models by unique_id. An invalid declaration is left out with a warning.
    """
    found, mistakes = read_marts(manifest, keys)
    for wrong in mistakes:
        _LOG.warning("mart left out: %s; %s", wrong.what, wrong.next_step)
    return [
        _build_step(domain, {_make_key(mart): mart for mart in found if mart.domain == domain})
        for domain in sorted({mart.domain for mart in found})
    ]


def _build_step(domain: str, by_key: Mapping[dg.AssetKey, MartSpec]) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name=f"publish_{domain}",
        specs=[_build_spec(mart) for mart in by_key.values()],
        check_specs=[_build_check(mart) for mart in by_key.values()],
        can_subset=True,
        pool=POOL,
        retry_policy=LAKE_STEP,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def publish_marts(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult | dg.Output[Any]]:
        from millpond.publish.publication import count_rows  # brings in the lake, which is slow to load

        run = RunInfo.of(context)
        chosen = {key: by_key[key] for key in by_key if key in context.selected_asset_keys}
        checked = {check.asset_key for check in context.selected_asset_check_keys}
        for key in _find_unreachable(context, chosen, run.ref):
            context.log.info(
                "%s is not published: its source has no data any more, or no address", key.path[-1]
            )
            del chosen[key]
            checked -= {key}
            yield dg.MaterializeResult(
                asset_key=key, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
            )
            yield from CheckEvents(context, before=True).none(key)
        inputs = Inputs.before(context, [key.to_user_string() for key in chosen], run.ref)
        for key, done in zip(chosen, _publish(context, list(chosen.values()), run), strict=True):
            yield dg.MaterializeResult(
                asset_key=key,
                metadata=_build_metadata(done, run.ref),
                data_version=dg.DataVersion(done.content_hash),
                tags=inputs.tags(key.to_user_string()),
                check_results=[_build_result(key, done.rows_lake, done.rows_postgres)]
                if key in checked
                else [],
            )
        for key in checked - chosen.keys():
            yield _build_result(key, *count_rows(by_key[key], ref=run.ref))

    return publish_marts


def _find_unreachable(
    context: dg.AssetExecutionContext, marts: Mapping[dg.AssetKey, MartSpec], ref: str
) -> list[dg.AssetKey]:
    """Return the marts whose tables do not exist because no day upstream is available any more."""
    from millpond.lake import read

    absent = {key.to_user_string(): key for key, mart in marts.items() if not read.exists(ref, mart.table)}
    if not absent:
        return []
    graph = context.job_def.asset_layer.asset_graph
    gone = find_unreachable(context.instance, graph, list(absent), ref, None)
    return [key for name, key in absent.items() if name in gone.assets]


def _publish(
    context: dg.AssetExecutionContext, chosen: list[MartSpec], run: RunInfo
) -> "list[PublishResult]":
    from millpond.publish.publication import publish

    try:
        with interrupts_are_final(context):
            return publish(chosen, ref=run.ref, run_id=run.run_id)
    except MillpondError as error:
        metadata = {"error": type(error).__name__}
        raise dg.Failure(
            redacted(str(error)), metadata=metadata, allow_retries=isinstance(error, TRANSIENT)
        ) from None


def _make_key(mart: MartSpec) -> dg.AssetKey:
    return dg.AssetKey([GROUP, mart.name])


def _build_spec(mart: MartSpec) -> dg.AssetSpec:
    columns = [dg.TableColumn(c.name, c.data_type or "unknown", c.description or None) for c in mart.columns]
    return dg.AssetSpec(
        key=_make_key(mart),
        deps=[dg.AssetKey.from_user_string(mart.model)],
        group_name=GROUP,
        kinds={"postgres"},
        owners=[mart.owner] if mart.owner else None,
        description=mart.description or None,
        tags={"layer": GROUP, "domain": mart.domain},
        metadata={
            "dagster/table_name": f"{marts_schema(settings().ref)}.{mart.name}",
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "key": ", ".join(mart.declared.key),
        },
    )


def _build_check(mart: MartSpec) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        CHECK,
        asset=_make_key(mart),
        description=f"Postgres holds as many rows as {mart.table} in the lake.",
        blocking=True,
    )


def _build_result(key: dg.AssetKey, rows_lake: int, rows_postgres: int | None) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=rows_lake == rows_postgres,
        asset_key=key,
        check_name=CHECK,
        description=None if rows_postgres is not None else "the mart is not published yet",
        metadata={"rows_lake": rows_lake, "rows_postgres": rows_postgres},
    )


def _build_metadata(done: "PublishResult", ref: str) -> dict[str, Any]:
    return {
        "rows_lake": done.rows_lake,
        "rows_postgres": done.rows_postgres,
        "dagster/row_count": done.rows_postgres,
        "rows_changed": done.rows_changed,
        "bytes": done.bytes,
        "seconds": round(done.seconds, 3),
        # A browser's numbers do not hold 64 bits.
        "snapshot_id": str(done.snapshot_id),
        "ref": ref,
    }
