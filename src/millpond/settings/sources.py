"""The settings of sources: addresses and credentials, and limits of requests."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from millpond.settings.text import CleanText


class SourceSettings(CleanText):
    """How to reach one source: `MILLPOND_<SOURCE>_URL`, `…_USER`, `…_TOKEN`.

    In a home that was made by `millpond demo`, the demo source answers for a source without a URL, where the
    demo knows its protocol.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(
        None,
        description="address, for example https://cgm.example.org, postgresql://db.example.org/shop,"
        " s3://bucket/drop or a folder",
    )
    user: str | None = Field(None, description="account whose data is asked for, for example octocat")
    token: SecretStr | None = Field(None, description="credential; never logged")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url and "/" not in url:
            raise ValueError(
                "must be an address or a folder, for example https://cgm.example.org or ./data/drop"
            )
        return url.rstrip("/") if url else url


class RequestSettings(BaseModel):
    """Part of `Settings`: limits of requests to sources, the circuit breaker, and the demo source."""

    demo_url: str | None = Field(
        None,
        description="address of a demo source that runs elsewhere, as docker/compose.yaml has one; what a "
        "source with this URL loads is demo data",
    )

    request_timeout_seconds: float = Field(
        30,
        gt=0,
        le=3600,
        description="longest time for one answer of a source, its body included, for example 30",
    )
    request_budget_seconds: float = Field(
        60, gt=0, le=86400, description="longest time for one request with all its retries, for example 60"
    )
    rate_limit_wait_seconds: float = Field(
        60, ge=0, le=86400, description="longest wait that a source may ask for (Retry-After), for example 60"
    )
    response_max_mb: int = Field(
        256, gt=0, le=65536, description="largest answer of a source, for example 256"
    )
    breaker_failures: int = Field(
        3, gt=0, le=1000, description="loads in a row without an answer that open the breaker, for example 3"
    )
    breaker_pause_seconds: float = Field(
        300,
        gt=0,
        le=86400,
        description="how long a source is left alone before one request probes it, for example 300",
    )
