"""The part of a spec that dlt's REST client is made from: address, auth, endpoint, paginator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from millpond.ingestion.part import Part
from millpond.ingestion.rest import placeholders
from millpond.settings.text import check_address

PAGINATORS: Final[dict[str, frozenset[str]]] = {
    "newest_first": frozenset(),
    "single_page": frozenset(),
    "header_link": frozenset({"links_next_key"}),
    "header_cursor": frozenset({"cursor_key", "cursor_param", "missing_means_end"}),
    "json_link": frozenset({"next_url_path", "missing_means_end"}),
    "cursor": frozenset(
        {
            "cursor_path",
            "cursor_param",
            "cursor_body_path",
            "stop_after_empty_page",
            "has_more_path",
            "missing_means_end",
        }
    ),
    "offset": frozenset(
        {
            "limit",
            "offset",
            "offset_param",
            "limit_param",
            "offset_body_path",
            "limit_body_path",
            "total_path",
            "maximum_offset",
            "has_more_path",
        }
    ),
    "page_number": frozenset(
        {
            "base_page",
            "page",
            "page_param",
            "page_body_path",
            "total_path",
            "maximum_page",
            "has_more_path",
        }
    ),
}
"""The paginators, called as in dlt's rest_api source, and `newest_first`; with their options.

`missing_means_end` says that a source leaves its link or cursor out on the last page.
"""


_FLAGS: Final = frozenset({"missing_means_end", "stop_after_empty_page"})
_NUMBERS: Final = {
    "limit": 1,
    "offset": 0,
    "maximum_offset": 1,
    "base_page": 0,
    "page": 0,
    "maximum_page": 1,
}
"""The options that are numbers, each with the least it may be."""


def _template(text: str) -> str:
    placeholders.check(text, placeholders.CONNECTION)
    return text


def _window_template(text: str) -> str:
    placeholders.check(text, placeholders.CONNECTION + placeholders.BOUNDS)
    return text


def _body_template(value: Any) -> Any:
    for _, text in placeholders.texts(value):
        _window_template(text)
    return value


warnings.filterwarnings("ignore", 'Field name "json" in "Endpoint" shadows')  # a method that is deprecated
Template = Annotated[str, AfterValidator(_template)]
WindowTemplate = Annotated[str, AfterValidator(_window_template)]
Templates = dict[str, WindowTemplate]
_Single = WindowTemplate | int | float | bool
Params = dict[str, _Single | Annotated[tuple[_Single, ...], Field(strict=False)]]
"""Parameters; a list is sent as one parameter with its name for each element."""


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


class ResponseAction(Part):
    """What an answer of a status, or with a text in it, means."""

    status_code: int | None = Field(
        None, ge=200, le=599, description="status of the answer", examples=["status_code: 404"]
    )
    content: str | None = Field(
        None, min_length=1, description="text that the answer contains", examples=["content: no orders"]
    )
    action: Literal["ignore"] = Field(
        description="ignore: there are no rows, and no further pages", examples=["action: ignore"]
    )

    @model_validator(mode="after")
    def _names_answers(self) -> ResponseAction:
        if self.status_code is None and self.content is None:
            raise ValueError("needs status_code or content; for example status_code: 404")
        return self

    def fits(self, status: int, body: bytes) -> bool:
        """Return whether it is about an answer."""
        said = self.content is None or self.content in body.decode("utf-8", "replace")
        return said and self.status_code in {None, status}


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


def _check_option(name: str, value: Any) -> tuple[str, bool]:
    """Return what the value of a paginator's option has to be, and whether it is that."""
    if name in _FLAGS:
        return "true or false", isinstance(value, bool)
    if name in _NUMBERS:
        least = _NUMBERS[name]
        return f"a whole number from {least} on", type(value) is int and value >= least
    return "a text", isinstance(value, str) and bool(value)


class Paginator(BaseModel):
    """How the next page is found: `newest_first`, or one of dlt's paginators with its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="one of the paginators below", examples=["type: header_link"])

    @model_validator(mode="after")
    def _options_are_known(self) -> Paginator:
        if self.type not in PAGINATORS:
            raise ValueError(f"type: there is no paginator {self.type!r}; there are {', '.join(PAGINATORS)}")
        if unknown := sorted(set(self.options) - PAGINATORS[self.type]):
            known = ", ".join(sorted(PAGINATORS[self.type])) or "none"
            raise ValueError(f"{self.type} has no option {unknown[0]!r}; it has {known}")
        for name, value in self.options.items():
            expected, fits = _check_option(name, value)
            if value is not None and not fits:
                raise ValueError(
                    f"{name} is {value!r}, not {expected}; docs/reference/sources.md has the options"
                )
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The options besides the type."""
        return dict(self.model_extra or {})


class Page(Part):
    """How large a page is asked for."""

    param: str = Field(
        min_length=1, description="parameter that takes the number of rows", examples=["param: count"]
    )
    size: int = Field(
        gt=0, description="rows to request; a full page never counts as the last one", examples=["size: 1000"]
    )
    most: int | None = Field(
        None,
        gt=0,
        description="asked of a source that has served full pages and heeded their bounds",
        examples=["most: 5000"],
    )

    @model_validator(mode="after")
    def _grows(self) -> Page:
        if self.most is not None and self.most < self.size:
            raise ValueError(f"most is less than size; for example most: {self.size}")
        return self


class Endpoint(Part):
    """The resource below the base URL that lists a table's rows, and where in its answers they are."""

    path: WindowTemplate = Field(
        min_length=1,
        description="path below `base_url`",
        examples=["path: api/v1/entries.json", 'path: "rates/{start_date}.json"'],
    )
    method: Literal["GET", "POST", "PUT"] = Field(
        "GET", description="how it is requested", examples=["method: POST"]
    )
    params: Params = Field(
        default_factory=dict,
        description="parameters of each request; a list repeats its name",
        examples=["params: { sort: asc, state: [open, paid] }"],
    )
    json: Annotated[dict[str, Any] | list[Any], AfterValidator(_body_template)] | None = Field(  # type: ignore[assignment]
        None,
        description="body of each request, as JSON; `{start_ms}` or `{start_s}` alone is sent as a number",
        examples=['json: { filter: { since: "{start_iso}", until: "{end_iso}" } }'],
    )
    data: Params | WindowTemplate | None = Field(
        None,
        description="body of each request: fields of a form, or a text as it is",
        examples=['data: { from: "{start_date}", to: "{last_date}" }'],
    )
    headers: dict[str, WindowTemplate] = Field(
        default_factory=dict,
        description="headers of each request",
        examples=["headers: { Accept: application/json }"],
    )
    format: Literal["json", "jsonl", "csv"] | None = Field(
        None,
        description="what an answer is: JSON, JSON Lines or CSV with a header; default: as its content type"
        " says, else JSON",
        examples=["format: csv"],
    )
    delimiter: str = Field(
        ",",
        min_length=1,
        max_length=1,
        description="what separates values of CSV",
        examples=['delimiter: ";"'],
    )
    data_selector: str = Field(
        "$", min_length=1, description="JSONPath of the list of rows", examples=["data_selector: data.items"]
    )
    single_object: bool = Field(
        False,
        description="data_selector leads to one object, which is the only row, in place of a list",
        examples=["single_object: true"],
    )
    paginator: Paginator = Field(
        Paginator(type="single_page"),
        description="how the next page is found",
        examples=["paginator: { type: header_link }"],
    )
    no_more: tuple[Annotated[int, Field(ge=400, le=499)], ...] = Field(
        (),
        strict=False,
        description="statuses that mean, of a page after the first, that there are no more",
        examples=["no_more: [404]"],
    )
    response_actions: tuple[ResponseAction, ...] = Field(
        (),
        strict=False,
        description="what answers mean by their status or content, of any page",
        examples=["response_actions: [{ status_code: 404, action: ignore }]"],
    )
    include_from_parent: tuple[Annotated[str, Field(pattern=r"^[\w.-]+$")], ...] = Field(
        (),
        strict=False,
        description="fields of the row of `{resources.<table>.<field>}` that each row gets, under the name"
        " `_<table>_<field>`",
        examples=["include_from_parent: [id, created_at]"],
    )
    not_markers: tuple[str, ...] = Field(
        (),
        strict=False,
        description="fields and headers of an answer that look like a next page or a total, and are none",
        examples=["not_markers: [total]"],
    )

    @field_validator("path")
    @classmethod
    def _stays_below_the_base(cls, path: str) -> str:
        parts = path.split("/")
        if (
            "://" in path
            or path.startswith("/")
            or ".." in parts
            or "\\" in path
            or "?" in path
            or "#" in path
        ):
            raise ValueError("must be a relative path without .., ? and #; for example api/v1/entries.json")
        return path

    @model_validator(mode="after")
    def _has_one_body(self) -> Endpoint:
        if self.json is not None and self.data is not None:
            raise ValueError("a request has one body: json or data; for example json: { state: open }")
        if self.method == "GET" and (self.json is not None or self.data is not None):
            raise ValueError("a request with json or data is no GET; for example method: POST")
        return self

    @model_validator(mode="after")
    def _has_rows_where_its_format_has_them(self) -> Endpoint:
        if self.format in {"jsonl", "csv"} and (self.data_selector != "$" or self.single_object):
            raise ValueError(
                f"an answer of format {self.format} is a list of rows: leave out data_selector and"
                " single_object; for example format: json"
            )
        return self

    def ignores(self, status: int, body: bytes) -> bool:
        """Return whether an answer means that there are no rows."""
        return any(action.fits(status, body) for action in self.response_actions)

    def templates(self) -> Iterator[tuple[str, str]]:
        """Yield what may hold placeholders, each with the name of its parameter or field."""
        yield "", self.path
        for part in (self.params, self.headers, self.json, self.data):
            yield from placeholders.texts(part)

    def check_fit(self, page: Page | None, window_params: Templates | None) -> None:
        """Raise ValueError if the paginator lacks what it needs from the table's page and window."""
        if self.single_object and self.paginator.type != "single_page":
            raise ValueError(f"single_object is for the paginator single_page, not {self.paginator.type}")
        in_body = [name for name in self.paginator.options if name.endswith("_body_path")]
        if in_body and not isinstance(self.json, dict):
            raise ValueError(f"{in_body[0]} needs a body that it leads into; for example json: {{}}")
        if self.paginator.type != "newest_first":
            if page and page.most is not None:
                raise ValueError(f"page.most is for the paginator newest_first, not {self.paginator.type}")
            return
        ends = [
            t
            for t in (window_params or {}).values()
            if any(n.startswith("end_") and n in placeholders.INSTANTS for n in placeholders.names(t))
        ]
        if page is None or not ends:
            raise ValueError(
                "the paginator newest_first needs page (how many rows an answer may hold) and a parameter of "
                'window.params with an upper bound, for example "find[date][$lt]": "{end_ms}"'
            )
