"""Sockets that are not served: they are told when to come back, and cost nearly nothing."""

from collections import Counter
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IReactorTime, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from chatd.edge import problems
from chatd.edge.admission import Admission
from chatd.edge.headers import Headers
from chatd.errors import ChatdError
from chatd.security.proxies import address_group

MOST_FAREWELLS: Final = 32
"""Sockets that are closed in stages at a time: a flood is made of such, and they take the room of others."""

MOST_OF_ONE: Final = 8
"""Those of them that come from one address, or one flooder would have the others reset."""


class Farewells:
    """Closes sockets so that what they were told can be read: first our side, and theirs when they have closed it.

    Closed at once, a socket on which the client is still sending is reset, and what was written to it may be lost
    (RFC 9112, section 9.6). That is what happens to those that find no place here; the others have so many ``seconds``,
    and count as ``admission.parting``.
    """

    def __init__(self, admission: Admission, reactor: IReactorTime, seconds: float) -> None:
        self._admission = admission
        self._reactor = reactor
        self._seconds = seconds
        self._open: dict[Any, tuple[str, IDelayedCall]] = {}
        self._by_address: Counter[str] = Counter()

    def close(self, transport: Any, host: str) -> None:
        """Close a TCP or UNIX socket from ``host``, and tell :meth:`closed` of its end.

        What still arrives is to be ignored; once the client has closed its side, say ``transport.loseConnection()``.
        """
        address = address_group(host)
        if (
            len(self._open) >= MOST_FAREWELLS
            or self._by_address[address] >= MOST_OF_ONE
            or not self._admission.has_room
        ):
            transport.loseConnection()
            return
        self._by_address[address] += 1
        self._admission.parting += 1
        self._open[transport] = (address, self._reactor.callLater(self._seconds, transport.abortConnection))
        transport.loseWriteConnection()

    def closed(self, transport: Any) -> None:
        """It is closed, by whomever."""
        address, deadline = self._open.pop(transport, ("", None))
        if deadline is None:
            return
        self._admission.parting -= 1
        self._by_address -= Counter([address])
        if deadline.active():
            deadline.cancel()


@implementer(IHalfCloseableProtocol)
class TurnedAway(Protocol):
    """A socket that comes when enough others have come: says why without waiting for what is wanted, and closes.

    Over TLS it only closes: the handshake, only to say so, would cost more than many a request. ``common`` are the
    headers that every answer has, and ``host`` is whose address it comes from.
    """

    transport: Any

    def __init__(self, refusal: ChatdError, common: Headers, farewells: Farewells, host: str) -> None:
        self._refusal = refusal
        self._common = common
        self._farewells = farewells
        self._host = host

    def connectionMade(self) -> None:
        """The socket is there."""
        if ISSLTransport.providedBy(self.transport):
            self.transport.abortConnection()
        else:
            self.transport.write(problems.last_response(self._refusal, self._common))
            self._farewells.close(self.transport, self._host)

    def readConnectionLost(self) -> None:
        """The client has closed its side, and may still read."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """We have closed ours."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The socket has gone."""
        self._farewells.closed(self.transport)
