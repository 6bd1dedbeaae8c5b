"""From an asset in Dagster's pages one gets to the runbook, the documentation and the dashboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.requests import Request

from millpond.cli.pages import lead_to_dashboard
from millpond.settings import Settings


@pytest.fixture
def links(configure: Callable[..., Settings]) -> Callable[..., dict[str, str]]:
    """Return a function that returns the links of a raw asset under settings."""
    import dagster as dg

    from millpond.platform import add_links

    def build(**values: object) -> dict[str, str]:
        spec = dg.AssetSpec("dlt_orders", group_name="raw", metadata={"source": "shop"})
        metadata = add_links(spec, configure(**values)).metadata
        return {name: each.url for name, each in metadata.items() if isinstance(each, dg.UrlMetadataValue)}

    return build


def test_an_asset_has_links_that_no_port_changes(links: Callable[..., dict[str, str]]) -> None:
    assert links(dashboard="true") == {
        "runbook": "/runbook",
        "docs": "/docs/",
        "dashboard": "/dashboard?layer=raw&source=shop",
    }
    assert links(dashboard="false", public_url="https://x.example.org/pond") == {
        "runbook": "https://x.example.org/pond/runbook",
        "docs": "https://x.example.org/pond/docs/",
    }


def test_the_link_leads_to_the_dashboard_of_the_same_machine(configure: Callable[..., Settings]) -> None:
    configure(dashboard_port=8511)
    asked = {
        "type": "http",
        "scheme": "http",
        "method": "GET",
        "server": ("pond.example.org", 3000),
        "path": "/dashboard",
        "query_string": b"layer=raw&source=shop",
        "headers": [(b"host", b"pond.example.org:3000")],
    }
    answer = lead_to_dashboard(Request(asked))
    assert answer.status_code == 307
    assert answer.headers["location"] == "http://pond.example.org:8511/?layer=raw&source=shop"
