"""The part of a spec that says what is requested of an HTTP source, and where in its answers the rows are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from millpond.ingestion.part import Part
from millpond.ingestion.rest import placeholders
from millpond.ingestion.rest.paginator_spec import Paginator, check_json_path
from millpond.ingestion.rest.placeholders import Params, Templates, WindowTemplate, check_body

warnings.filterwarnings("ignore", 'Field name "json" in "Endpoint" shadows')  # a method that is deprecated


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
    json: Annotated[dict[str, Any] | list[Any], AfterValidator(check_body)] | None = Field(  # type: ignore[assignment]
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
    data_selector: Annotated[str, AfterValidator(check_json_path)] = Field(
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
        for name in in_body:
            place: Any = self.json
            for key in str(self.paginator.options[name]).removeprefix("$.").split(".")[:-1]:
                place = place.get(key, {}) if isinstance(place, dict) else None
            if not isinstance(place, dict):
                raise ValueError(f"{name} needs a body that it leads into; for example json: {{}}")
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
