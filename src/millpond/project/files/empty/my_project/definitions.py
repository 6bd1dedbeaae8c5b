"""Assets, checks, jobs and resources of this project, beside those of sources/ and dbt/.

An ordinary Dagster module: what `defs` holds is loaded, run, automated and watched like the rest.
"""

import dagster as dg

import millpond


@dg.asset(
    group_name="reports", kinds={"duckdb"}, description="The tables of the lake, and how many rows each has."
)
def my_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Show every table as Markdown on the asset's page."""
    with millpond.connect(context.run.tags.get("millpond/ref")) as lake:
        views = "select schema_name || '.' || view_name from duckdb_views() where database_name = 'lake'"
        names = sorted(name for (name,) in lake.sql(views).fetchall())
        rows = [(name, lake.sql(f"select count(*) from {name}").fetchall()[0][0]) for name in names]
    lines = [f"| {name} | {count} |" for name, count in rows]
    table = "\n".join(["| table | rows |", "|---|---|", *lines])
    return dg.MaterializeResult(metadata={"report": dg.MetadataValue.md(table), "tables": len(rows)})


defs = dg.Definitions(
    assets=[my_report],
    jobs=[dg.define_asset_job("reports", selection="group:reports")],
)
