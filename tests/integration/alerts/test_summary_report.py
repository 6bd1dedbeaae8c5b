"""The daily summary by e-mail brings the report of the day before, or says why there is none."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from alerting import FAST, Rows, alert, delivered, put
from receivers import mail

DAY = dt.date(2026, 11, 1)


@pytest.mark.slow
def test_the_summary_by_mail_has_the_page_attached_once(
    recorded: dg.DagsterInstance, routes: Any, configure: Any, rows: Rows
) -> None:
    made = dg.AssetMaterialization("dlt_climate_entries", partition=str(DAY), metadata={"rows_loaded": 41})
    recorded.report_runless_asset_event(made)
    with mail() as server:
        configure(
            smtp_host="127.0.0.1",
            smtp_port=server.port,
            smtp_security="none",
            email_to="a@example.org",
        )
        put(
            alert(1),
            alert(2, kind="success_summary", source=f"summary:{DAY + dt.timedelta(days=1)}"),
            alert(3, kind="success_summary", source="summary:1990-01-02"),
        )
        delivered(routes(FAST + "summary_report: true\n"), rows)
    of_failure, of_day, of_no_day = server.taken
    (page,) = of_day.iter_attachments()
    assert (page.get_filename(), page.get_content_type()) == (f"report-{DAY}.html", "text/html")
    assert '<td class="number">41</td>' in page.get_content()
    assert not list(of_failure.iter_attachments())
    (words,) = of_no_day.iter_attachments()
    assert (words.get_filename(), words.get_content_type()) == ("report-1990-01-01.txt", "text/plain")
    assert "The report of 1990-01-01 could not be made" in words.get_content()
