from __future__ import annotations

import pytest
from requests import Request

from millpond.ingestion.rest.markers import as_count
from millpond.ingestion.retry import read_retry_after
from millpond.ingestion.source_errors import origin


@pytest.mark.parametrize("host", ["über.example", "ÜBER.example", "müller.straße.example", "例え.example"])
def test_a_host_is_one_server_as_it_is_written_and_as_it_is_sent(host: str) -> None:
    sent = Request("GET", f"http://{host}/a").prepare().url
    assert sent
    assert origin(sent) == origin(f"http://{host}/")


@pytest.mark.parametrize("address", ["http://[::bad/", "https://[1", "http://a:99999/", "http://a:x/", ""])
def test_what_is_no_address_leads_to_no_server(address: str) -> None:
    assert origin(address)[2] in {-1, None}


def test_digits_that_are_no_number_of_rows_or_seconds_are_none() -> None:
    assert as_count("9" * 5000) is None
    assert as_count("²") is None
    assert as_count("1,200") == 1200
    assert read_retry_after({"Retry-After": "²"}) is None
    assert read_retry_after({"Retry-After": "9" * 5000}) is None
    assert read_retry_after({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "²"}) is None
