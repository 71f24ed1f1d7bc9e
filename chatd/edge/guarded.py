"""A WebSocket with the doors shut that Autobahn leaves open to hostile peers."""

# Autobahn's and Twisted's classes are only partly annotated.
# mypy: allow-untyped-calls

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol

from chatd.edge import problems
from chatd.errors import CloseCode, Internal, Malformed

MAX_FRAGMENTS = 4096
"""Frames of one message. Empty ones count for nothing in its size, and yet Autobahn keeps each."""


class GuardedProtocol(WebSocketServerProtocol):
    """One connection, as far as it is the same whatever is said on it.

    - A message in more than ``MAX_FRAGMENTS`` frames is answered with 1008.
    - Of the pings of a peer that does not read, only the latest is answered, when it reads again (RFC 6455,
      section 5.5.3); the pongs would pile up here.
    - What is no handshake is told so in chatd's words; Autobahn would quote it in the status line of an answer.
    - A close frame that breaks the rules is answered with 1002 or 1007; Autobahn resets the connection before its
      answer has left.

    ``paused_since`` is when the peer ceased to read, in the reactor's seconds, and None while it reads.
    """

    # Autobahn and Twisted name the narrowest interface; here it is TCP's or TLS's, producers included.
    transport: Any
    paused_since: float | None = None
    _fragments = 0
    _unanswered: bytes | None = None
    _closing_since: float | None = None

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: object = None) -> None:
        """Autobahn finds the handshake wanting, or cannot take it."""
        self.wasNotCleanReason = reason
        error = Malformed("This is no well-formed WebSocket handshake.") if code < 500 else Internal()
        self.sendData(problems.last_response(error))
        self.dropConnection(abort=False)

    def onOpen(self) -> None:
        """The WebSocket is open: from now on the transport says whether the peer reads."""
        # Whoever served the handshake may have registered itself.
        self.transport.unregisterProducer()
        self.transport.registerProducer(self, True)

    def onMessageBegin(self, isBinary: bool) -> None:
        """The first frame of a message begins."""
        super().onMessageBegin(isBinary)
        self._fragments = 0

    def onMessageFrameBegin(self, length: int) -> None:
        """A frame of a message begins."""
        self._fragments += 1
        if self._fragments > MAX_FRAGMENTS and not self.failedByMe:
            self._fail_connection(int(CloseCode.POLICY_VIOLATION), "too many fragments")
        super().onMessageFrameBegin(length)

    def onPing(self, payload: bytes) -> None:
        """A ping has arrived."""
        if self.paused_since is None:
            self.sendPong(payload)
        else:
            self._unanswered = payload

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        """The peer's last word has arrived; the socket closes, once what we wrote has left."""
        self._closing_since = self.factory.reactor.seconds()
        self._answer()
        ended: bool | None = super().onCloseFrame(code, reasonRaw)
        return ended

    def dropConnection(self, abort: bool = False) -> None:
        """Close the socket, with ``abort`` by a reset."""
        super().dropConnection(abort and self._closing_since is None)

    def lingers(self, now: float, patience: float) -> bool:
        """Whether the peer said its last word so many seconds ago, and does not let go of the socket."""
        return self._closing_since is not None and now - self._closing_since > patience

    def pauseProducing(self) -> None:
        """The peer does not read as fast as we write."""
        self.paused_since = self.factory.reactor.seconds()

    def resumeProducing(self) -> None:
        """The peer reads again."""
        self.paused_since = None
        self._answer()

    def _answer(self) -> None:
        if self._unanswered is not None:
            payload, self._unanswered = self._unanswered, None
            self.sendPong(payload)

    def stopProducing(self) -> None:
        """The transport is closing: ``onClose`` follows."""
