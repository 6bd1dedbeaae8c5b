"""The state of your own servers, under the profile scale."""

from __future__ import annotations

import http.client
import json
import ssl
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from millpond.errors import MillpondError
from millpond.runtime.databases import databases
from millpond.settings import Settings

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

_SECONDS = 5


@dataclass(frozen=True)
class ServerState:
    """State of one server; `note` is its error, or its version."""

    name: str
    address: str
    answers: bool
    note: str


def check_servers(settings: Settings) -> list[ServerState]:
    """Return the states of Postgres, S3, Trino and Nessie; none under the profile embedded."""
    if not settings.scale:
        return []
    asked: list[tuple[str, str, Callable[[Settings], str]]] = [
        ("postgres", f"{settings.postgres_host}:{settings.postgres_port}", _check_postgres),
        ("s3", f"{settings.iceberg_warehouse_path} at {settings.s3_endpoint or 'AWS'}", _check_s3),
        ("trino", trino_address(settings), _check_trino),
    ]
    if settings.catalog == "nessie":
        asked.append(("nessie", settings.nessie_uri or "", _check_nessie))
    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(lambda one: _check_server(settings, *one), asked))


def trino_address(settings: Settings) -> str:
    """Return the address of Trino."""
    return f"{settings.trino_http_scheme}://{settings.trino_host}:{settings.trino_port}"


def try_warehouse(settings: Settings) -> str:
    """Write a file to the warehouse in S3, read it back and remove it; returns a message.

    Raises OSError with the store's message.
    """
    place = f"{str(settings.iceberg_warehouse_path).removeprefix('s3://')}/.provision-{uuid.uuid4().hex}"
    store = _open_store(settings)
    with store.open_output_stream(place) as out:
        out.write(b"written by millpond provision")
    with store.open_input_stream(place) as back:
        found = back.read()
    store.delete_file(place)
    if found != b"written by millpond provision":
        raise OSError("a file that was just written has other content")
    return "files can be written, read and removed"


def _check_server(settings: Settings, name: str, address: str, ask: Callable[[Settings], str]) -> ServerState:
    try:
        return ServerState(name, address, True, ask(settings))
    except MillpondError as error:
        return ServerState(name, address, False, error.what)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return ServerState(name, address, False, str(error) or type(error).__name__)


def _check_postgres(_: Settings) -> str:
    with databases().catalog.connect_as_it_is() as connection:
        return f"Postgres {connection.info.server_version // 10_000}"


def _check_s3(settings: Settings) -> str:
    from pyarrow.fs import FileSelector

    place = str(settings.iceberg_warehouse_path).removeprefix("s3://")
    _open_store(settings).get_file_info(FileSelector(place, allow_not_found=True))
    return "the warehouse can be listed"


def _check_trino(settings: Settings) -> str:
    info = _request(trino_address(settings), "/v1/info")
    if info["starting"]:
        raise OSError("it is still starting")
    return f"Trino {info['nodeVersion']['version']}"


def _check_nessie(settings: Settings) -> str:
    return f"default branch {_request(settings.nessie_uri or '', '/api/v2/config')['defaultBranch']}"


def _request(address: str, path: str) -> dict[str, dict[str, str]]:
    where = urlsplit(address)
    connection: http.client.HTTPConnection
    if where.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(where.netloc, timeout=_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(where.netloc, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        found: dict[str, dict[str, str]] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return found


def _open_store(settings: Settings) -> S3FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    key, secret = settings.s3_access_key, settings.s3_secret_key
    return S3FileSystem(
        access_key=key.get_secret_value() if key else None,
        secret_key=secret.get_secret_value() if secret else None,
        region=settings.s3_region,
        endpoint_override=settings.s3_endpoint,
        connect_timeout=_SECONDS,
        request_timeout=_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),
    )
