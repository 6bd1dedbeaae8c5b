"""Files in S3 and in other file systems are read as those of a folder are."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from file_sources import DAY, NEXT, Drop, sales
from moto.server import ThreadedMotoServer

from millpond.errors import SourceUnreachable
from millpond.ingestion.files.arrivals import find_arrivals
from millpond.settings import Settings

CONTENT = b"id,at\n1,2026-01-05T10:00:00Z\n2,2026-01-06T10:00:00Z\n"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Serve the S3 protocol on a free loopback port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, configure: Callable[..., Settings]) -> Any:
    import boto3

    configure(s3_endpoint=endpoint, s3_access_key="key", s3_secret_key="secret")
    s3 = boto3.resource(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    return s3.create_bucket(Bucket=f"drop-{uuid.uuid4().hex[:8]}")


def test_files_below_a_prefix_of_s3_are_loaded_and_watched(drop: Drop, bucket: Any) -> None:
    bucket.put_object(Key="shop/2026/a.csv", Body=CONTENT)
    bucket.put_object(Key="shop/2026/_SUCCESS", Body=b"")
    bucket.put_object(Key="elsewhere/2026/b.csv", Body=CONTENT.replace(b"1,", b"7,"))
    spec = drop.spec("**/*.csv", table={"news": {"every": "1m"}}, url=f"s3://{bucket.name}/shop")
    assert not drop.load(spec, DAY, NEXT).failed
    assert sales("id") == [1, 2]
    first = find_arrivals(spec, spec.tables[0], 0)
    assert first.windows == []
    bucket.put_object(Key="shop/2026/a.csv", Body=CONTENT + b"3,2026-01-06T11:00:00Z\n")
    again = find_arrivals(spec, spec.tables[0], 0)
    assert [str(window) for window in again.windows] == [f"{DAY}...{NEXT}"]
    assert not drop.load(spec, DAY, NEXT).failed
    assert sales("id") == [1, 2, 3]


def test_a_bucket_that_is_not_there_fails_and_is_named(drop: Drop, bucket: Any) -> None:
    error = drop.load(drop.spec("*.csv", url="s3://no-such-bucket/shop")).failed[DAY]
    assert isinstance(error, SourceUnreachable)
    assert "no-such-bucket" in str(error)


def test_files_of_another_file_system_are_loaded(drop: Drop) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/shop/sales_2026-01-05.csv", CONTENT)
    memory.pipe("/shop/deeper/sales_2026-01-06.csv", CONTENT)
    assert not drop.load(drop.spec("sales_{date}.csv", url="memory://shop")).failed
    assert sales("id") == [1]
