"""What people do in Dagster's pages: make days, look at what came of them, find out why one failed."""

import re

import dagster as dg
import pytest
from dagster._core.storage.tags import BACKFILL_ID_TAG
from playwright.sync_api import Locator, Page, expect
from served_days import BAD, READINGS, WEEK

from millpond.lake import read

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(400)]

CLIMATE = "dlt_climate_entries"
DAYS = [str(day) for day in WEEK.days]


def dialog(page: Page, address: str, button: str = "Materialize") -> Locator:
    """Open the page of an asset, or of all, and the dialog in which partitions are chosen."""
    page.goto(address)
    page.get_by_role("button", name=button).first.click()
    found = page.locator("[class*=dialog i]").filter(has_text="Partition selection").first
    expect(found).to_be_visible()
    return found


def launched(page: Page, chosen: Locator, days: str, toast: str) -> str:
    """Choose `days`, click Launch, and return the id that the page then names after `toast`."""
    text = chosen.locator("input[type=text]").first
    text.fill(days)
    text.press("Enter")
    chosen.get_by_role("button", name="Launch").click()
    message = page.get_by_text(re.compile(rf"{toast} \w+"))
    expect(message).to_be_visible()
    return message.inner_text().split()[2]


def finished(page: Page, recorded: dg.DagsterInstance, run_id: str, status: str = "Success") -> dg.DagsterRun:
    """Follow a run on its page until it has ended as `status` says."""
    (run,) = [run for run in recorded.get_runs() if run.run_id.startswith(run_id)]
    page.goto(f"/runs/{run.run_id}")
    expect(page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first).to_have_text(status)
    found = recorded.get_run_by_id(run.run_id)
    assert found is not None
    return found


def backfilled(page: Page, recorded: dg.DagsterInstance, backfill: str) -> list[dg.DagsterRun]:
    """Wait on a backfill's page until its runs have succeeded, and return them."""
    page.goto(f"/runs/b/{backfill}?tab=runs")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    return list(recorded.get_runs(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill})))


def days_of(run: dg.DagsterRun) -> tuple[str, str]:
    kind = "dagster/asset_partition_range_"
    one = run.tags.get("dagster/partition", "")
    return run.tags.get(f"{kind}start", one), run.tags.get(f"{kind}end", one)


def test_a_range_of_days_is_one_run_and_then_only_what_is_missing_is_made(
    page: Page, recorded: dg.DagsterInstance
) -> None:
    chosen = dialog(page, f"/assets/{CLIMATE}?view=partitions")
    backfill = launched(page, chosen, f"[{DAYS[0]}...{DAYS[2]}]", "Created backfill")
    (run,) = backfilled(page, recorded, backfill)
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert days_of(run) == (DAYS[0], DAYS[2])
    assert read.count("main", "raw.climate_entries") == 3 * READINGS

    chosen = dialog(page, f"/assets/{CLIMATE}?view=partitions")
    chosen.get_by_text("failed and missing partitions within").click()
    backfill = launched(page, chosen, f"[{DAYS[0]}...{DAYS[5]}]", "Created backfill")
    (run,) = backfilled(page, recorded, backfill)
    assert days_of(run) == (DAYS[3], DAYS[5])
    assert read.count("main", "raw.climate_entries") == 6 * READINGS


def test_one_day_of_every_asset_is_made_from_the_lineage_page_and_shown_on_each_asset(
    page: Page, recorded: dg.DagsterInstance
) -> None:
    chosen = dialog(page, "/asset-groups", "Materialize all")
    run = finished(page, recorded, launched(page, chosen, DAYS[6], "Launched run"))
    assert run.status == dg.DagsterRunStatus.SUCCESS

    page.goto(f"/assets/{CLIMATE}?view=partitions&partition={DAYS[6]}")
    for shown in ("rows_loaded", str(READINGS), "rows_quarantined", "seconds", "snapshot_id"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible()
    page.goto("/assets/fct_climate_readings")
    for shown in ("silver", "growing", "DuckDB", "Iceberg", "silver.fct_climate_readings", "entry_id"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible()
    for part in ("Readings of light, one row each", "Fails if more than", "fct_climate_readings.sql"):
        expect(page.get_by_text(part).first).to_be_visible()
    expect(page.get_by_text("Freshness policy").first).to_be_visible()
    page.goto(f"/assets/{CLIMATE}?view=checks")
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(7)
    page.goto("/assets/fct_climate_readings?view=lineage")
    for neighbour in ("stg_climate_entries", "fct_daily_climate_metrics"):
        expect(page.get_by_text(neighbour).first).to_be_visible()
    page.goto("/assets/marts/mrt_climate_overview?view=checks")
    expect(page.get_by_text("equals_lake").first).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(1)


def test_the_page_of_a_failed_run_says_what_was_wrong_and_what_is_unharmed(
    page: Page, recorded: dg.DagsterInstance
) -> None:
    before = read.load_table("main", "raw.climate_entries").metadata.current_snapshot_id
    chosen = dialog(page, f"/assets/{CLIMATE}?view=partitions")
    finished(page, recorded, launched(page, chosen, str(BAD), "Launched run"), "Failure")
    expect(page.get_by_text(f"{BAD}: 144 of 288 rows break the contract").first).to_be_visible()
    expect(page.get_by_text("Unharmed: the day as it was loaded before").first).to_be_visible()
    assert read.load_table("main", "raw.climate_entries").metadata.current_snapshot_id == before


def test_a_range_of_every_asset_launched_from_the_lineage_page_is_two_runs_and_never_counts_above_all(
    page: Page, recorded: dg.DagsterInstance
) -> None:
    made = recorded.get_latest_materialization_event(dg.AssetKey("dim_date"))
    few = 2 if made else 4  # the calendar and what is built whole from it take two more the first time
    chosen = dialog(page, "/asset-groups", "Materialize all")
    backfill = launched(page, chosen, f"[{DAYS[0]}...{DAYS[2]}]", "Created backfill")
    page.goto(f"/runs/b/{backfill}?tab=runs")
    expect(page.get_by_text("Success", exact=True).nth(few - 1)).to_be_visible()
    runs = backfilled(page, recorded, backfill)
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * few
    assert (DAYS[0], DAYS[2]) in map(days_of, runs)
    page.goto(f"/runs/b/{backfill}")
    expect(page.get_by_text("100% completed", exact=True).first).to_be_visible()
    shown = page.get_by_text(re.compile(r"^\d+% completed$")).all_inner_texts()
    assert all(int(text.split("%")[0]) <= 100 for text in shown), shown
