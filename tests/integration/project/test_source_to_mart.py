"""From an address to a published, checked table: what `sources new` writes runs as it stands."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from fake_source import fake_source
from millpond.project.create import create
from new_sources import make_database, write_till
from newcomers import environment_with, typed
from paged_shop import PagedShop

CHECKOUT = Path(__file__).parents[3]
_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def documented() -> list[str]:
    """Return the commands that docs/sources-new.md shows as one goes from an address to a mart."""
    (block,) = _SHELL.findall((CHECKOUT / "docs" / "sources-new.md").read_text())
    return str(block).splitlines()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_source_of_each_kind_becomes_a_mart_without_a_line_of_ones_own(tmp_path: Path) -> None:
    folder = create(tmp_path / "pond", "empty")
    environment = environment_with(Path(sys.executable).parent)
    make_database(folder / "data" / "erp.db")
    write_till(folder / "data" / "till")

    def run(*command: str) -> str:
        return typed(environment, folder, *command)

    try:
        with fake_source() as shop:
            shop.serve = PagedShop("cursor")
            for arguments in (
                ("shop", "--kind", "rest", "--url", f"{shop.url}/api/orders"),
                ("till", "--kind", "file", "--url", "data/till"),
                ("feed", "--kind", "python"),
            ):
                run("millpond", "sources", "new", *arguments, "--publish", "--yes")
            for command in documented():
                typed(environment, folder, "bash", "-euc", command)
            assets = "dlt_orders*,dlt_sales*,dlt_feed*"
            run("millpond", "materialize", assets, "--range", "2026-11-26...2026-11-27")
        rows = {
            mart: json.loads(run("millpond", "sql", "--json", f"select count(*) as n from marts.{mart}"))
            for mart in ("orders", "sales", "feed", "invoices")
        }
    finally:
        run("millpond", "down")
    assert rows == {"orders": [{"n": 16}], "sales": [{"n": 12}], "feed": [{"n": 48}], "invoices": [{"n": 24}]}
