"""The measure of things: bare Autobahn on Twisted, ``python -m bench.echo PORT``.

Its options are Autobahn's defaults: no compression, no pings of its own, TCP_NODELAY. It sends back whatever comes.
For the comparison with catch-up, ``push:COUNT:BYTES`` makes it send so many texts of that size; for that with groups,
``prep:`` and ``each:`` before a text make it send the text to all connections, as one prepared frame or by a plain send
on each.
"""

import sys
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()  # type: ignore[no-untyped-call] # Twisted's

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol  # noqa: E402 the reactor first
from twisted.internet import reactor  # noqa: E402 the reactor first

PUSH = b"push:"
PREPARED = b"prep:"
EACH = b"each:"
BACKLOG = 1024
_PUSHED_AT_ONCE = 500


class Echo(WebSocketServerProtocol):
    """Sends back what it receives."""

    factory: "EchoFactory"

    def onOpen(self) -> None:
        self.factory.connections[self] = None

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.connections.pop(self, None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if payload.startswith(PUSH):
            _, count, size = payload.split(b":")
            self._push(int(count), b"x" * int(size))
        elif payload.startswith(PREPARED):
            self.factory.broadcast(payload[len(PREPARED) :])
        elif payload.startswith(EACH):
            text = payload[len(EACH) :]
            for connection in self.factory.connections:
                connection.sendMessage(text)  # type: ignore[no-untyped-call] # Autobahn's
        else:
            self.sendMessage(payload, isBinary)  # type: ignore[no-untyped-call] # Autobahn's

    def _push(self, count: int, payload: bytes) -> None:
        for _ in range(min(count, _PUSHED_AT_ONCE)):
            self.sendMessage(payload)  # type: ignore[no-untyped-call] # Autobahn's
        if count > _PUSHED_AT_ONCE:
            later: Any = reactor
            later.callLater(0, self._push, count - _PUSHED_AT_ONCE, payload)


class EchoFactory(WebSocketServerFactory):
    """Knows who is connected."""

    protocol: Any = Echo

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Autobahn's
        self.connections: dict[Echo, None] = {}

    def broadcast(self, text: bytes) -> None:
        """Send this to all, framed once."""
        prepared = self.prepareMessage(text)  # type: ignore[no-untyped-call] # Autobahn's
        for connection in self.connections:
            connection.sendPreparedMessage(prepared)  # type: ignore[no-untyped-call] # Autobahn's


def main() -> None:
    """Serve on loopback until stopped."""
    port = int(sys.argv[1])
    factory = EchoFactory()
    listening: Any = reactor
    listening.listenTCP(port, factory, backlog=BACKLOG, interface="127.0.0.1")
    listening.run()


if __name__ == "__main__":
    main()
