"""Assets, checks, jobs and resources of this project, beside those of sources/ and dbt/.

An ordinary Dagster module: what `defs` holds is loaded, run, automated and watched like the rest.
"""

import dagster as dg

import forecast.definitions
import millpond


@dg.asset(
    deps=["mrt_glucose_overview"],
    group_name="reports",
    kinds={"duckdb"},
    owners=["team:health"],
    description="The latest complete day in one table, read from the lake after the mart was built.",
)
def my_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Show the latest day of the overview as Markdown on the asset's page."""
    with millpond.connect(context.run.tags.get("millpond/ref")) as lake:
        latest = lake.sql("select * from gold.mrt_glucose_overview order by 1 desc limit 1")
        lines = [
            f"| {name} | {value} |"
            for name, value in zip(latest.columns, latest.fetchone() or (), strict=False)
        ]
    table = "\n".join(["| what | value |", "|---|---|", *lines])
    return dg.MaterializeResult(metadata={"report": dg.MetadataValue.md(table), "lines": len(lines)})


@dg.asset_check(asset=my_report, description="There is something to report.")
def report_is_not_empty(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Read what the latest report said of itself."""
    event = context.instance.get_latest_materialization_event(my_report.key)
    lines = (
        event.asset_materialization.metadata["lines"].value if event and event.asset_materialization else 0
    )
    return dg.AssetCheckResult(passed=lines > 0, metadata={"lines": lines})


defs = dg.Definitions.merge(
    forecast.definitions.defs,  # the assets of forecast/
    dg.Definitions(
        assets=[my_report],
        asset_checks=[report_is_not_empty],
        jobs=[dg.define_asset_job("reports", selection="group:reports")],
    ),
)
