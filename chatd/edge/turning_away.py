"""A socket that comes when enough others have come: it is told when to come back, and costs nearly nothing."""

from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol

from chatd.edge import problems
from chatd.edge.headers import Headers
from chatd.errors import ChatdError


class TurnedAway(Protocol):
    """Says why without waiting for what is wanted, and closes.

    Over TLS it only closes: the handshake, only to say so, would cost more than many a request. ``common`` are the
    headers that every answer has.
    """

    transport: Any

    def __init__(self, refusal: ChatdError, common: Headers) -> None:
        self._refusal = refusal
        self._common = common

    def connectionMade(self) -> None:
        """The socket is there."""
        if ISSLTransport.providedBy(self.transport):
            self.transport.abortConnection()
        else:
            self.transport.write(problems.last_response(self._refusal, self._common))
            self.transport.loseConnection()
