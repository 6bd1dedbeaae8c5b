"""Ends an answer that does not arrive in time, also one that drips a byte a second.

A socket's own time-out starts anew with every byte; here a clock closes the socket itself.
"""

from __future__ import annotations

import socket
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from millpond.runtime.clock import Clock


class Deadline:
    """A span of time, as a context, after which the connection in use is shut down."""

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._socket: socket.socket | None = None
        self._seconds, self._over = seconds, False

    def __enter__(self) -> Deadline:
        self._token = _current.set(self)
        _clock.call_after(self._seconds, self.expire)
        return self

    def __exit__(self, *_: object) -> None:
        self._over, self._socket = True, None
        _current.reset(self._token)

    def watch(self, connection: socket.socket | None) -> None:
        """Have `connection` shut down when the time is over."""
        self._socket = connection
        if self.expired:
            self._shut()

    def expire(self) -> None:
        """End the time now, unless it is over."""
        if not self._over:
            self.expired = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            try:
                socket.socket.shutdown(
                    self._socket, socket.SHUT_RDWR
                )  # below TLS, which would wait for the peer
            except OSError:
                return  # closed already, which is what was wanted


_clock = Clock("deadlines")
_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class _Watched:
    sock: socket.socket | None
    _answer: HTTPResponse | None = None

    def getresponse(self) -> Any:
        if deadline := _current.get():
            deadline.watch(self.sock)
        try:
            return super().getresponse()  # type: ignore[misc]
        except BaseException:
            if self._answer:  # urllib3 refused its headers: nobody else would close the socket it took over
                self._answer.close()
            raise
        finally:
            self._answer = None

    def response_class(self, *args: Any, **options: Any) -> HTTPResponse:
        """Make the answer that `http.client` reads, and know it until urllib3 has it."""
        self._answer = HTTPResponse(*args, **options)
        return self._answer


class _Http(_Watched, HTTPConnection):  # type: ignore[misc]
    pass


class _Https(_Watched, HTTPSConnection):  # type: ignore[misc]
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


class WatchedAdapter(HTTPAdapter):
    """An adapter for requests whose connections obey the `Deadline` they are used in."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools, of watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
