"""One HTTP connection: how much it may send, and how long it may take.

========= ================================================ ============= =========================
phase     what is going on                                 may last      when it has lasted longer
========= ================================================ ============= =========================
ACCEPTED  nothing has come yet                             ``handshake`` closed
HEAD      a request's head is coming                       ``handshake`` 408, closed
BODY      its body is coming                               ``http_body`` 408, closed
ANSWERING it is being answered                             \\             \\
IDLE      it was answered, nothing has come since          ``http_idle`` closed
ENDING    it was answered for the last time                ``http_idle`` aborted
CLOSING   it was refused                                   ``close``     aborted
GONE      closed, turned away, or a WebSocket by now       \\             \\
========= ================================================ ============= =========================

The time of a phase does not start anew with each byte, nor that of ACCEPTED with the first byte: a client that
trickles is served within the time or not at all. Twisted alone would hold such a connection for ever.
"""

# Twisted's HTTP classes are not annotated.
# mypy: allow-untyped-calls

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IProtocol
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from chatd.edge import problems
from chatd.edge.clients import Peer
from chatd.edge.sockets import Socket
from chatd.errors import ChatdError, Malformed, Overloaded, RateLimited, RequestTimeout, TooLarge

if TYPE_CHECKING:
    from chatd.edge.site import ChatSite

MAX_HEADERS = 100
CROWDED = "There are too many connections from this address: close some, or wait, and send it again."


class Phase(Enum):
    """What a connection is at."""

    ACCEPTED = auto()
    HEAD = auto()
    BODY = auto()
    ANSWERING = auto()
    IDLE = auto()
    ENDING = auto()
    CLOSING = auto()
    GONE = auto()


@implementer(IHalfCloseableProtocol)
class ChatChannel(HTTPChannel):
    """Speaks HTTP/1.1 on one socket, until it is closed or a WebSocket takes it over."""

    site: "ChatSite"
    peer: Peer
    socket: Socket
    transport: Any
    maxHeaders = MAX_HEADERS
    phase = Phase.ACCEPTED
    _deadline: IDelayedCall | None = None
    _successor: IProtocol | None = None

    def connectionMade(self) -> None:
        limit = self.site.gateway.settings.limits.max_header_bytes
        self.totalHeadersSize = self.MAX_LENGTH = limit
        super().connectionMade()
        self.peer = self.site.gateway.clients.peer(self.transport.getPeer())
        host = None if self.peer.proxy else self.peer.host
        self._enter(Phase.ACCEPTED)
        self.site.channels.add(self)
        if self.site.gateway.admission.admit(host):
            self.socket = Socket(self.site.gateway.admission, host)
        else:
            self._turn_away(host)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override] # it comes without its default
        self._enter(Phase.GONE)
        self.site.channels.discard(self)
        if hasattr(self, "socket"):
            self.socket.left()
        else:
            self.site.farewells.closed(self.transport)
        super().connectionLost(reason)

    def _turn_away(self, host: str | None) -> None:
        """No room. A TLS handshake, only to say so, would cost more than many a request."""
        self._enter(Phase.GONE)
        if self.isSecure():
            self.transport.abortConnection()
        else:
            wait = self.site.retry_after_ms()
            crowded = self.site.gateway.admission.crowded(host)
            self._say_last(RateLimited(CROWDED, retry_after_ms=wait) if crowded else Overloaded(retry_after_ms=wait))
            self.transport.unregisterProducer()
            self.site.farewells.close(self.transport, host or "")

    def serve_for(self, client: str) -> None:
        """The connection counts for ``client`` until the request is answered, or as long as a WebSocket lasts.

        A proxy may send requests of many clients over one connection. Raises RateLimited where this one has no more
        room: that ends the request, and not the proxy's connection.
        """
        if not self.socket.counts_for(client):
            raise RateLimited(CROWDED, retry_after_ms=self.site.retry_after_ms())

    # -- what comes in --

    def dataReceived(self, data: bytes) -> None:
        if self.phase in (Phase.ENDING, Phase.CLOSING, Phase.GONE):
            return
        if self.phase is Phase.ACCEPTED:
            self.phase = Phase.HEAD
        super().dataReceived(data)
        if self.phase is Phase.IDLE and self._buffer:
            self._enter(Phase.HEAD)

    def lineReceived(self, line: bytes) -> None:
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        if line[:1] in (b" ", b"\t"):
            # Twisted would join it to the line before, and a proxy perhaps not (RFC 9112, section 5.2).
            self._respondToBadRequestAndDisconnect()
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        self.refuse(TooLarge(f"The head of a request may have {self.MAX_LENGTH} bytes."))

    def rawDataReceived(self, data: bytes) -> None:
        if self._successor is not None:
            # Sent right behind the upgrade, without waiting for its answer.
            self._successor.dataReceived(data)
        else:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            # A Content-Length of more digits than int() takes.
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        limit = self.site.gateway.settings.limits.max_body_bytes
        if not self._well_framed():
            self._respondToBadRequestAndDisconnect()
        elif self.length is not None and self.length > limit:
            self.body_too_large()
        else:
            if self.length != 0:
                self._enter(Phase.BODY)
            super().allHeadersReceived()

    def _well_framed(self) -> bool:
        """One Host (RFC 9112, section 3.2), and no way of framing that a proxy in front might read differently."""
        if self._version != b"HTTP/1.1":
            return not self.requests[-1].requestHeaders.hasHeader(b"Transfer-Encoding")
        headers = self.requests[-1].requestHeaders
        codings = headers.getRawHeaders(b"Transfer-Encoding", [])
        hosts = headers.getRawHeaders(b"Host", [])
        return len(hosts) == 1 and (not codings or [coding.lower() for coding in codings] == [b"chunked"])

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        if self.site.closing:
            request.setHeader(b"Connection", b"close")
        return bool(super().checkPersistence(request, version)) and not self.site.closing

    def allContentReceived(self) -> None:
        if self.phase is Phase.CLOSING:
            return
        self._enter(Phase.ANSWERING)
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        # First, since what the client has pipelined is gone into before this returns.
        self._enter(Phase.IDLE)
        if self.peer.proxy:
            self.socket.counts_for(None)
        if self._waitingForTransport:
            # Answers to requests that are here already would pile up: first the client reads this one.
            self.paused = True
        last = not self.persistent
        super().requestDone(request)
        if last and self.phase is Phase.CLOSING:
            self._enter(Phase.ENDING)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self.paused:
            self.paused = False
            self.dataReceived(b"")

    # -- how it ends --

    def body_too_large(self) -> None:
        """The body of the request that is coming is above the limit."""
        self.refuse(TooLarge(f"A body may have {self.site.gateway.settings.limits.max_body_bytes} bytes."))

    def refuse(self, error: ChatdError) -> None:
        """Say why, and close: what follows on this connection cannot be made sense of, or is not wanted.

        Our side first, while what the client still sends is thrown away, or it might never see the answer; see
        :class:`~chatd.edge.turning_away.Farewells`. TLS closes like that by itself.
        """
        if self.phase is Phase.CLOSING:
            return
        self._say_last(error)
        if self.isSecure():
            self.loseConnection()
        else:
            self._enter(Phase.CLOSING)
            self.clearLineBuffer()
            self.transport.unregisterProducer()
            self.transport.resumeProducing()
            self.transport.loseWriteConnection()

    def _say_last(self, error: ChatdError) -> None:
        self.transport.write(problems.last_response(error, self.site.common_headers(self.isSecure())))

    def lose_patience(self) -> None:
        """One more request was too much. Whoever goes on and on is closed behind the answer.

        Not so a proxy, whose connection is many people's: that would stop nobody, and hit the others.
        """
        if not self.peer.proxy and self.socket.insists(self.site.gateway.throttle):
            self.last_answer()

    def last_answer(self) -> None:
        """Close behind the answer to what is being answered."""
        self.persistent = 0
        self.requests[0].setHeader(b"Connection", b"close")

    def go_away(self) -> None:
        """Close, once what was asked has been answered."""
        if self.phase is Phase.ANSWERING:
            self.last_answer()
        elif self.phase in (Phase.ACCEPTED, Phase.IDLE):
            self.loseConnection()

    def loseConnection(self) -> None:
        # First, since the transport may have gone before this returns.
        self._enter(Phase.CLOSING)
        super().loseConnection()

    def readConnectionLost(self) -> None:
        """The client has closed its side, and may still read: what it asked is answered, what was said leaves first."""
        if self.phase is Phase.ANSWERING:
            self.last_answer()
        elif self.phase in (Phase.CLOSING, Phase.GONE):
            self.transport.loseConnection()
        else:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """We have closed ours."""

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(Malformed("This is no well-formed HTTP/1.1 request."))

    def hand_over(self, successor: IProtocol) -> bytes:
        """Leave the socket to ``successor``, in the middle of a request that will never be answered here.

        From now on it is told of what arrives and of the end; no deadline of this connection's is left. Gives what
        has arrived behind the request while that was looked at.
        """
        early = b"".join(self._dataBuffer)
        self._dataBuffer = []
        self._enter(Phase.GONE)
        self.site.channels.discard(self)
        self._successor = successor
        # The request refers to this connection: nothing of either is to wait for the garbage collector.
        self.requests.clear()
        transport, self.transport = self.transport, None
        # The channel is its producer; the successor wants to be.
        transport.unregisterProducer()
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = successor
        else:
            transport.protocol = successor
        successor.makeConnection(transport)
        transport.resumeProducing()
        return early

    # -- deadlines --

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        seconds = self.site.deadlines.get(phase)
        if seconds is not None:
            self._deadline = self.site.reactor.callLater(seconds, self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        if self.phase in (Phase.ENDING, Phase.CLOSING):
            self.transport.abortConnection()
        elif self.phase in (Phase.HEAD, Phase.BODY):
            self.refuse(RequestTimeout())
        else:
            self.loseConnection()
