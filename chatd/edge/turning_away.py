"""Sockets that are not served: they are told when to come back, and cost nearly nothing."""

from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from chatd.edge import problems
from chatd.edge.headers import Headers
from chatd.errors import ChatdError

MOST_FAREWELLS: Final = 32
"""Sockets that are closed in stages at once. They count for nobody, and have to find room among the reserve."""


class Farewells:
    """Closes sockets so that what they were told can be read: first our side, and theirs when they have closed it.

    Closed at once, a socket on which the client is still sending is reset, and what was written to it may be lost
    (RFC 9112, section 9.6). That is what happens to those that find no place here; the others have so many ``seconds``.
    """

    def __init__(self, reactor: IReactorTime, seconds: float) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._open: dict[Any, IDelayedCall] = {}

    def close(self, transport: Any) -> None:
        """Close a TCP or UNIX socket; what still arrives is to be ignored. Its end is to be told to :meth:`closed`."""
        if len(self._open) < MOST_FAREWELLS:
            self._open[transport] = self._reactor.callLater(self._seconds, transport.abortConnection)
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    def closed(self, transport: Any) -> None:
        """It is closed, by whomever."""
        deadline = self._open.pop(transport, None)
        if deadline is not None and deadline.active():
            deadline.cancel()


class TurnedAway(Protocol):
    """A socket that comes when enough others have come: says why without waiting for what is wanted, and closes.

    Over TLS it only closes: the handshake, only to say so, would cost more than many a request. ``common`` are the
    headers that every answer has.
    """

    transport: Any

    def __init__(self, refusal: ChatdError, common: Headers, farewells: Farewells) -> None:
        self._refusal = refusal
        self._common = common
        self._farewells = farewells

    def connectionMade(self) -> None:
        """The socket is there."""
        if ISSLTransport.providedBy(self.transport):
            self.transport.abortConnection()
        else:
            self.transport.write(problems.last_response(self._refusal, self._common))
            self._farewells.close(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The socket has gone."""
        self._farewells.closed(self.transport)
