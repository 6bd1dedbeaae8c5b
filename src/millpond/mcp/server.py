"""The tools of the server, over standard input and output."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, ParamSpec, TypeVar

import anyio
from anyio import to_thread
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from millpond.errors import MillpondError
from millpond.mcp import answers, commands
from millpond.mcp import query as queries
from millpond.naming import MAIN_REF, ref_name
from millpond.redaction import redacted

P = ParamSpec("P")
T = TypeVar("T")
Ref = Annotated[str, Field(description="Branch to read, such as main or dev.")]
Days = Annotated[str, Field(description="A day, 2026-11-01, or days A...B, both included.")]
Selection = Annotated[
    str, Field(description='Assets as Dagster selects them: name, "name*", "+name", group:gold.')
]
_INSTRUCTIONS: Final = (
    "Millpond is a lakehouse: its tables are <layer>.<table> (raw, bronze, silver, gold, quarantine), those "
    "published in Postgres marts.<table>. All tools read, except create_branch and materialize, which write "
    "to a branch and never to main."
)


def query(
    sql: Annotated[str, Field(description="One SELECT in DuckDB's SQL over tables that list_tables names.")],
    ref: Ref = MAIN_REF,
    limit: Annotated[int, Field(description="Rows at most; 1000 is the most.", ge=1, le=1000)] = 100,
    seconds: Annotated[float, Field(description="Time at most.", gt=0, le=120)] = 30,
) -> dict[str, Any]:
    """Run one read-only SELECT; `more` says that there are more rows, sensitive columns do not exist."""
    return queries.run_query(sql, ref_name(ref), limit, seconds)


def list_tables(ref: Ref = MAIN_REF) -> list[dict[str, Any]]:
    """List the tables that can be queried, with their rows and the time of the last change."""
    return answers.list_tables(ref_name(ref))


def describe_table(
    table: Annotated[str, Field(description="Such as gold.dim_date or marts.mrt_overview.")],
    ref: Ref = MAIN_REF,
) -> dict[str, Any]:
    """Describe a table: its columns with types and descriptions, and which columns are hidden."""
    return answers.describe_table(table, ref_name(ref))


def list_assets() -> list[dict[str, Any]]:
    """List all assets: layer, table, owners, sources and what each is made from."""
    return answers.describe_assets()


def lineage(asset: Annotated[str, Field(description="Asset key, such as dim_date.")]) -> dict[str, Any]:
    """Tell what an asset is made from, and what is made from it, directly or not."""
    return answers.trace_lineage(asset)


def health(
    days: Annotated[int, Field(description="Days up to yesterday.", ge=1, le=92)] = 7,
) -> dict[str, Any]:
    """Tell whether everything is all right, else since when not, whose move it is and what to do."""
    return answers.tell_health(days)


def alerts() -> list[dict[str, Any]]:
    """List the open alerts: what happened, what is unharmed, what to do, who was notified."""
    return answers.list_alerts()


def quarantine(ref: Ref = MAIN_REF) -> list[dict[str, Any]]:
    """Count the rows in quarantine by asset, day and rule."""
    return answers.count_quarantine(ref_name(ref))


def plan(selection: Selection, days: Days, ref: Ref = MAIN_REF) -> dict[str, Any]:
    """Plan a backfill: what would be made, skipped or is fresh, and why. Nothing is run."""
    return dict(commands.plan_backfill(selection, days, ref))


def create_branch(name: Annotated[str, Field(description="Such as dev.")]) -> dict[str, Any]:
    """Create a branch of main with all tables as they are now; no data is copied."""
    return dict(commands.create_branch(name))


def materialize(
    selection: Selection, days: Days, branch: Annotated[str, Field(description="Not main.")]
) -> dict[str, Any]:
    """Materialize assets for days on a branch; main is refused. It takes as long as the run."""
    return dict(commands.materialize(selection, days, branch))


_READING: Final = (
    *(query, list_tables, describe_table, list_assets, lineage, health, alerts, quarantine, plan),
)
_WRITING: Final = (create_branch, materialize)


def build_server() -> FastMCP:
    """Return the server with its tools."""
    server = FastMCP("millpond", instructions=_INSTRUCTIONS, log_level="WARNING")
    for tool in _READING:
        hints = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
        server.add_tool(_run_in_thread(tool), annotations=hints)
    for writing in _WRITING:
        hints = ToolAnnotations(readOnlyHint=False, destructiveHint=False, openWorldHint=False)
        server.add_tool(_run_in_thread(writing), annotations=hints)
    return server


def serve() -> None:
    """Serve until standard input ends. What else is printed goes to standard error."""
    protocol = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(protocol, "w", encoding="utf-8")
    anyio.run(build_server().run_stdio_async)


def _run_in_thread(tool: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return a tool that leaves the server free while it works; errors become texts for the agent."""

    @functools.wraps(tool)
    async def work(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await to_thread.run_sync(functools.partial(tool, *args, **kwargs))
        except MillpondError as error:
            raise ToolError(redacted(str(error))) from None
        except Exception as error:
            raise ToolError(redacted(f"{type(error).__name__}: {error}")) from error

    return work
