"""The part of a spec that says what all requests to a source have in common: its address and credential."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from millpond.ingestion.part import Part
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.placeholders import Template
from millpond.settings.text import check_address


class Bearer(Part):
    """`Authorization: Bearer …`."""

    type: Literal["bearer"] = "bearer"
    token: Template = Field(description="`{token}`", examples=['token: "{token}"'])


class ApiKey(Part):
    """A credential in a header or a parameter of a given name."""

    type: Literal["api_key"] = "api_key"
    name: str = Field(min_length=1, description="name of the header or parameter", examples=["name: token"])
    api_key: Template = Field(description="`{token}` or `{token_sha1}`", examples=['api_key: "{token}"'])
    location: Literal["header", "query"] = Field(
        "header", description="where it is sent", examples=["location: query"]
    )


class HttpBasic(Part):
    """User and password."""

    type: Literal["http_basic"] = "http_basic"
    username: Template = Field(description="for example `{user}`", examples=['username: "{user}"'])
    password: Template = Field(description="`{token}`", examples=['password: "{token}"'])


class OAuth2ClientCredentials(Part):
    """A token that a server issues for an id and a secret, requested anew before it expires."""

    type: Literal["oauth2_client_credentials"] = "oauth2_client_credentials"
    access_token_url: Template = Field(
        pattern=r"^(\{url\}|https?://)",
        description="address that issues tokens",
        examples=['access_token_url: "{url}/oauth/token"'],
    )
    client_id: Template = Field(description="for example `{user}`", examples=['client_id: "{user}"'])
    client_secret: Template = Field(description="`{token}`", examples=['client_secret: "{token}"'])
    access_token_request_data: dict[str, Template] = Field(
        default_factory=dict,
        description="further fields of the request for a token",
        examples=["access_token_request_data: { scope: read }"],
    )
    default_token_expiration: int = Field(
        3600,
        gt=0,
        description="seconds that a token lasts whose answer does not say so",
        examples=["default_token_expiration: 600"],
    )


class Rest(Part):
    """The client of a source: what all requests to it have in common."""

    base_url: Template = Field(
        description="address that all paths follow: `{url}`, or one that starts with `http://` or `https://`",
        examples=['base_url: "{url}"'],
    )
    headers: dict[str, Template] = Field(
        default_factory=dict,
        description="headers of all requests",
        examples=["headers: { Accept: application/json }"],
    )
    auth: (
        Annotated[Bearer | ApiKey | HttpBasic | OAuth2ClientCredentials, Field(discriminator="type")] | None
    ) = Field(
        None,
        description="credential, of one of the types below",
        examples=['auth: { type: bearer, token: "{token}" }'],
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.startswith(("{url}", "http://", "https://")):
            raise ValueError("must start with {url}, http:// or https://")
        if "{" not in url:
            check_address(url)
        return url

    @model_validator(mode="after")
    def _secrets_come_from_the_environment(self) -> Rest:
        given = self.auth.model_dump() if self.auth else {}
        for name in {"token", "api_key", "password", "client_secret"} & set(given):
            if not placeholders.SECRET & set(placeholders.names(given[name])):
                raise ValueError(
                    f"auth.{name} must take its secret from the environment: "
                    "write {token} and set MILLPOND_<SOURCE>_TOKEN"
                )
        return self
