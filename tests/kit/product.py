"""The product that is asked who may contact whom: a small HTTP server on loopback, with every fault as a switch."""

import gzip
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

JSON = "application/json"
ALLOWED = b'{"allowed": true}'
HUGE = 64 * 1024 * 1024

UNSOUND: dict[str, tuple[int, str, bytes]] = {
    "garbage": (200, JSON, b"\x00\xff{"),
    "an empty 200": (200, JSON, b""),
    "HTML": (200, "text/html", b"<html>Please log in</html>"),
    "HTML that says it is JSON": (200, JSON, b"<html>Please log in</html>"),
    "JSON that says it is HTML": (200, "text/html", ALLOWED),
    "no type": (200, "", ALLOWED),
    "another object": (200, JSON, b'{"allow": true}'),
    "a word for a truth": (200, JSON, b'{"allowed": "true"}'),
    "a number for a truth": (200, JSON, b'{"allowed": 1}'),
    "a list": (200, JSON, b"[true]"),
    "null": (200, JSON, b'{"allowed": null}'),
    "two objects": (200, JSON, ALLOWED + ALLOWED),
    "no content": (204, JSON, b""),
    "created": (201, JSON, ALLOWED),
    "unauthorized": (401, JSON, ALLOWED),
    "its own failure": (500, JSON, ALLOWED),
    "too much": (200, JSON, ALLOWED[:-1] + b', "note": "' + b"x" * 8192 + b'"}'),
}
"""Answers that are none: status, type, body."""

FAULTS = ("redirect", "huge", "gzip", "hang up", "silence", "drip", "stuck body")
"""What it does besides."""


class Product:
    """One such server. ``allowed`` are who may contact whom, ``asked`` all questions with what was shown for a token.

    ``fault`` is one of UNSOUND or FAULTS, or None. A fault that waits does so until the server is closed.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.allowed: set[tuple[str, str]] = set()
        self.asked: list[tuple[dict[str, Any], str | None]] = []
        self.fault: str | None = None
        self.redirected = 0
        self.under_way = self.most_under_way = 0
        self.gone = Event()
        self.closing = Event()

        class Handler(_Handler):
            product = self

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}/contacts?v=1"

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    product: Product

    def do_GET(self) -> None:
        self.product.redirected += 1
        self._answer(200, JSON, ALLOWED)

    def do_POST(self) -> None:
        product = self.product
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/elsewhere":
            product.redirected += 1
            self._answer(200, JSON, ALLOWED)
            return
        assert self.headers["Content-Type"] == JSON
        question = json.loads(body)
        product.asked.append((question, self.headers["Authorization"]))
        product.under_way += 1
        product.most_under_way = max(product.under_way, product.most_under_way)
        try:
            self._misbehave(product.fault, question)
        except ConnectionError:
            product.gone.set()
        finally:
            product.under_way -= 1

    def _misbehave(self, fault: str | None, question: dict[str, Any]) -> None:
        allowed = (question["user"], question["other"]) in self.product.allowed
        match fault:
            case None:
                self._answer(200, f"{JSON}; charset=utf-8", json.dumps({"allowed": allowed, "note": "x"}).encode())
            case "slow":
                time.sleep(0.1)
                self._answer(200, JSON, json.dumps({"allowed": allowed}).encode())
            case "redirect":
                self._answer(303, JSON, ALLOWED, Location="/elsewhere")
            case "huge":
                self._start(200, {"Content-Type": JSON, "Content-Length": str(HUGE)})
                for _ in range(HUGE // 65536):
                    self.wfile.write(b" " * 65536)
            case "gzip":
                self._answer(200, JSON, gzip.compress(ALLOWED + b" " * 1000), **{"Content-Encoding": "gzip"})
            case "hang up":
                self.close_connection = True
            case "silence":
                self.product.closing.wait()
            case "drip":
                self._start(200, {"Content-Type": JSON, "Content-Length": "4000"})
                while not self.product.closing.wait(0.02):
                    self.wfile.write(b" ")
                    self.wfile.flush()
            case "stuck body":
                self._start(200, {"Content-Type": JSON, "Content-Length": "4000"})
                # Nothing more comes from either side, but the end of the connection.
                self.connection.recv(1)
                self.product.gone.set()
            case _:
                status, kind, body = UNSOUND[fault]
                self._answer(status, kind, body)

    def _answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self._start(status, ({"Content-Type": kind} if kind else {}) | {"Content-Length": str(len(body)), **headers})
        self.wfile.write(body)

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """The tests look at what was asked."""


@contextmanager
def running(**options: Any) -> Iterator[Product]:
    """A product while it is needed."""
    product = Product(**options)
    try:
        yield product
    finally:
        product.close()
