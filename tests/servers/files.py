"""A loopback file server that can be told to fail."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files` (path to bytes) and obeys `orders` first.

    orders: path to a list of what to do with the next requests, each obeyed once: a status (503),
    a status with headers, "cut" (half of what is due, then a broken connection), "drip" (a few
    bytes at a time, until the client hangs up), "silent" (headers, then nothing) or "shifted" (of a
    part asked for, one that begins earlier).
    asked: (path, Range header or None) of every request; headers: their headers; connections: how
    many were opened.
    """

    def __init__(self, files=None, *, ranges=True):
        self.files = files or {}
        self.orders = {}
        self.ranges = ranges
        self.asked = []
        self.headers = []
        self.connections = 0

    def __enter__(self):
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # the client may hang up
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.owner.connections += 1
        super().setup()

    def log_message(self, *_):
        pass

    def do_GET(self):
        owner = self.owner
        asked = self.headers.get("Range")
        owner.asked.append((self.path, asked))
        owner.headers.append(dict(self.headers))
        order = owner.orders[self.path].pop(0) if owner.orders.get(self.path) else None
        if isinstance(order, int | tuple) or self.path not in owner.files:
            status, headers = order if isinstance(order, tuple) else (order or 404, {})
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            return
        body = owner.files[self.path]
        tag = f'"{hash(body)}"'
        start = 0
        if asked and owner.ranges and self.headers.get("If-Range", tag) == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if order == "shifted":
            start = start // 2
        if start >= len(body) > 0:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("ETag", tag)
        self.end_headers()
        due = body[start:]
        if order == "cut":
            self.wfile.write(due[: len(due) // 2])
            self.close_connection = True
        elif order == "drip":
            for start in range(0, len(due), 20):
                self.wfile.write(due[start : start + 20])
                time.sleep(0.02)
        elif order == "silent":
            time.sleep(0.6)
            self.close_connection = True
        else:
            self.wfile.write(due)
