"""An answer that breaks HTTP or JSON fails its day with an error of ours, and the loaded rows stay."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable

import pytest
from failing_source import CANARY, load_rows
from urllib3.exceptions import InvalidHeader
from urllib3.response import HTTPResponse

from fake_source import DAY, Answer, FakeSource
from millpond.errors import (
    MillpondError,
    SourceMalformed,
    SourceRefused,
    SourceUnreachable,
)
from millpond.settings import Settings
from source_tables import load_days, raw, table_of
from waiting import until

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


_MOVED = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "


_SAID = CANARY.encode()


_NESTED = b'{"errors": ' + b"[" * 900 + b'"%s"' % _SAID + b"]" * 900 + b', "items": []}'


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (_OK + b"Content-Length: 5, 6\r\n\r\n[]", SourceRefused),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\nZZ %s\r\n[]" % _SAID, SourceUnreachable),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[]", SourceUnreachable),
        (b"HTTP/1.1 %s OK\r\n\r\n" % _SAID, SourceUnreachable),
        (_OK + b"".join(b"X-%d: %s\r\n" % (n, _SAID) for n in range(200)) + b"\r\n[]", SourceUnreachable),
        (
            _OK + b"Content-Encoding: " + b"gzip, " * 20 + b"gzip\r\nContent-Length: 2\r\n\r\n[]",
            SourceMalformed,
        ),
        (_MOVED + b"http://[::1/?token=%s\r\n\r\n" % _SAID, SourceRefused),
        (_MOVED + b"/entries?token=%s\r\n\r\n" % _SAID, SourceRefused),
        (_MOVED + b"mailto:%s@example.org\r\n\r\n" % _SAID, SourceRefused),
        (_OK + b"Content-Length: %d\r\n\r\n" % len(_NESTED) + _NESTED, SourceMalformed),
    ],
    ids=["lengths", "chunk", "cut", "status", "headers", "encodings", "address", "circle", "mail", "nested"],
)
def test_whatever_a_library_makes_of_an_answer_the_day_fails_in_our_words_and_keeps_its_rows(
    server: FakeSource, configure: Callable[..., Settings], sent: bytes, kind: type[MillpondError]
) -> None:
    load_rows()
    configure(request_budget_seconds=1)

    def send(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_RDWR)

    server.serve = lambda _: Answer(raw=send)
    is_failed(kind, "items" if b'"items"' in sent else "$")


def test_an_exception_that_nobody_foresaw_fails_the_day_and_names_its_kind_without_the_token(
    server: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_rows()

    def breaks(*_: object, **__: object) -> None:
        raise InvalidHeader(f"GET {server.url}/entries?token={CANARY} gave {CANARY}")

    monkeypatch.setattr(HTTPResponse, "stream", breaks)  # what requests passes on as it is
    error = is_failed(SourceMalformed)
    assert "InvalidHeader" in error.what
    assert "sources/greenhouse.yaml" in error.next_step


def is_failed(kind: type[MillpondError], selector: str = "$") -> MillpondError:
    """Return why the loaded day fails; its rows stay."""
    before = raw()
    _, table = table_of("climate_entries")
    result = load_days(DAY, endpoint=table.endpoint.model_copy(update={"data_selector": selector}))
    error = result.failed[DAY]
    assert isinstance(error, kind), repr(error)
    assert CANARY not in str(error)
    assert error.unharmed
    assert error.next_step
    assert raw() == before
    # while the error is kept, as it holds the frames it was raised in; the source's own end may close later
    until(lambda: not open_connections(), 20)
    return error


def open_connections() -> list[socket.socket]:
    """Return the sockets of this process that a client has left open."""
    found = [thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() >= 0]
    return [one for one in found if "raddr" in repr(one) or "[closed]" in repr(one)]
