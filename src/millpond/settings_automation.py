"""The settings of what runs by itself."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator


class AutomationSettings(BaseModel):
    """Part of `Settings`: whether data is loaded by itself, when, and who hears that all is well."""

    automation: bool = Field(
        True, description="whether data is loaded by itself while `millpond up` runs: true or false"
    )
    daily_at: str = Field(
        "06:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="when yesterday is completed each day, HH:MM in the configured zone, for example 06:00",
    )
    heartbeat_url: SecretStr | None = Field(
        None,
        description="requested while nothing is wrong, for example https://hc-ping.com/…; never logged",
    )
    heartbeat_seconds: float = Field(
        60, ge=1, le=86400, description="how often that address is asked, for example 60"
    )

    @field_validator("heartbeat_url")
    @classmethod
    def _heartbeat_is_an_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url and not url.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("must start with https://, for example https://hc-ping.com/…")
        return url
