"""`millpond sources check` and `preview` say what a load would find, and write nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fake_source import FakeSource, rows_as_json
from millpond.settings import settings
from new_sources import Run, new
from paged_shop import ORDERS, PagedShop


def test_check_names_the_step_that_fails_and_what_to_do(
    new_project: Path, shop: FakeSource, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.serve = PagedShop("page_number")
    new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    file = new_project / "sources" / "shop.yaml"
    good = file.read_text()

    def failed() -> tuple[int, str, str]:
        code, out, error = run("sources", "check", "shop", "--day", "2026-11-20", "--json")
        assert error == ""
        steps = json.loads(out)
        bad = [step for step in steps if step["state"] == "failed"]
        assert all(
            step["state"] == "skipped" for step in steps[len(steps) if not bad else steps.index(bad[0]) + 1 :]
        )
        return (code, bad[0]["name"], bad[0]["next_step"]) if bad else (code, "", "")

    assert failed() == (0, "", "")
    file.write_text(good.replace("key: [id]", "keys: [id]"))
    assert failed()[:2] == (1, "spec")
    file.write_text(good.replace("amount: number", "amuont: number"))
    assert failed()[:2] == (1, "shape")
    assert "did you mean amount?" in failed()[2]
    file.write_text(good.replace("amount: number", "amount: { type: number, max: 5, on_bad: quarantine }"))
    assert failed()[:2] == (1, "contract")
    file.write_text(good)
    shop.serve = PagedShop("page_number", secret=True)
    assert failed()[:2] == (1, "authorised")
    assert "MILLPOND_SHOP_TOKEN" in failed()[2]
    shop.serve = lambda _: rows_as_json(["nothing", "like", "rows"])
    assert failed()[:2] == (1, "shape")
    (new_project / ".env").write_text("MILLPOND_SHOP_URL=http://127.0.0.1:1\n")
    settings.cache_clear()
    assert failed()[:2] == (1, "reachable")
    (new_project / ".env").write_text("")
    settings.cache_clear()
    assert failed()[:2] == (1, "address")


def test_check_and_preview_write_nothing_and_count_what_a_load_would(
    new_project: Path, shop: FakeSource, run: Run
) -> None:
    shop.serve = PagedShop("single_page")
    new(run, "shop", "--kind", "rest", "--url", f"{shop.url}/api/orders")
    bad = [ORDERS[0] | {"id": None}, ORDERS[1] | {"amount": "many"}, ORDERS[2], ORDERS[2]]
    shop.serve = lambda _: rows_as_json(bad)
    code, out, error = run("sources", "preview", "shop", "--day", "2026-11-27", "--json")
    assert code == 0, out + error
    found = json.loads(out)
    (day,) = found["days"]
    assert (code, day["rows_loaded"], day["rows_quarantined"]) == (0, 2, 1)
    assert (day["duplicates_dropped"], day["values_nulled"]) == (1, 1)
    assert [row["id"] for row in found["rows"]] == [1, 2]
    assert found["quarantined"][0]["reason"] == "id is missing"
    assert "id is missing" in run("sources", "preview", "shop", "--day", "2026-11-27", "--quarantined")[1]
    assert not (new_project / ".millpond" / "warehouse").exists()
    code, _, error = run("sources", "preview", "orderz")
    assert code == 2
    assert "did you mean orders" in error
