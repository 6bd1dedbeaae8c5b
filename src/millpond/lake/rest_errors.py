"""Error responses to Iceberg REST clients: status, error type, message."""

from __future__ import annotations

import binascii
import logging

import psycopg
import sqlalchemy.exc
from pydantic import ValidationError as MalformedModel
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NamespaceNotEmptyError,
    NoSuchNamespaceError,
    NoSuchPropertyException,
    NoSuchTableError,
    NoSuchViewError,
    TableAlreadyExistsError,
    ValidationError,
    ViewAlreadyExistsError,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from millpond.errors import EmbeddedPartError, OutcomeUnknown, RefNotFound, StorageFailed
from millpond.lake.metadata import FileGone
from millpond.lake.view_updates import InvalidView

_log = logging.getLogger(__name__)


class BadRequest(Exception):
    """The request does not follow the protocol."""


class NotAuthorized(Exception):
    """The request carries no valid token."""


class Forbidden(Exception):
    """The request would change a pinned view, or do what its token does not allow."""


class Unrouted(Exception):
    """The specification, or this catalog, has no such endpoint."""


class UnprocessableEntity(Exception):
    """The request follows the protocol and contradicts itself."""


_RESPONSES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], int, str], ...] = (
    (NotAuthorized, 401, "NotAuthorizedException"),
    (Forbidden, 403, "ForbiddenException"),
    (RefNotFound, 404, "NoSuchWarehouseException"),
    (NoSuchTableError, 404, "NoSuchTableException"),
    (NoSuchNamespaceError, 404, "NoSuchNamespaceException"),
    (NoSuchViewError, 404, "NoSuchViewException"),
    ((FileNotFoundError, FileGone), 404, "NotFoundException"),
    (
        (TableAlreadyExistsError, ViewAlreadyExistsError, NamespaceAlreadyExistsError),
        409,
        "AlreadyExistsException",
    ),
    (NamespaceNotEmptyError, 409, "NamespaceNotEmptyException"),
    (CommitFailedException, 409, "CommitFailedException"),
    (OutcomeUnknown, 503, "CommitStateUnknownException"),
    (
        (EmbeddedPartError, StorageFailed, psycopg.OperationalError, sqlalchemy.exc.OperationalError),
        503,
        "ServiceUnavailableException",
    ),
    (
        (BadRequest, MalformedModel, ValidationError, NoSuchPropertyException, binascii.Error),
        400,
        "BadRequestException",
    ),
    (Unrouted, 404, "NoSuchEndpointException"),
    (InvalidView, 400, "IllegalArgumentException"),
    (UnprocessableEntity, 422, "UnprocessableEntityException"),
    (NotImplementedError, 406, "UnsupportedOperationException"),
    ((ValueError, KeyError, TypeError), 400, "BadRequestException"),
)


def build_response(request: Request, error: Exception) -> Response:
    """Return the response for `error`; unknown errors are 500 and have their traceback in the log.

    A HEAD request gets the status alone.
    """
    if request.method == "HEAD":
        return Response(status_code=_find_status(error))
    for kinds, status, name in _RESPONSES:
        if isinstance(error, kinds):
            missing = f"the request lacks the field {error}" if isinstance(error, KeyError) else str(error)
            return _build_error(status, name, missing)
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _build_error(
        500, "InternalServerError", f"{type(error).__name__}; the log of the server has the details"
    )


def _find_status(error: Exception) -> int:
    return next((status for kinds, status, _ in _RESPONSES if isinstance(error, kinds)), 500)


def _build_error(status: int, name: str, message: str) -> JSONResponse:
    """Return an error in the format of the Iceberg REST specification."""
    return JSONResponse({"error": {"message": message, "type": name, "code": status}}, status)
