"""A server of Nightscout's entries at even distances, as many a day as asked for."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_DAY_MS = 86_400_000


def serve(rows: int) -> ThreadingHTTPServer:
    """Serve `rows` a day on a free port, the newest first; call `shutdown` at the end."""
    step = _DAY_MS // rows

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = {name: int(values[0]) for name, values in parse_qs(urlsplit(self.path).query).items()}
            low, high = query["find[date][$gte]"], query["find[date][$lt]"]
            newest = (high - 1) // step * step
            oldest = max(low, newest - (query.get("count", 10) - 1) * step)
            body = f"[{','.join(map(_row, range(newest, oldest - 1, -step)))}]".encode()
            self.send_response_only(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _row(ms: int) -> str:
    value = 80 + ms // 60_000 % 120
    return f'{{"_id":"{ms:x}","type":"sgv","sgv":{value},"date":{ms},"direction":"Flat","device":"bench"}}'
