"""A socket that comes when enough others have come: it is told when to come back, and costs nearly nothing."""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Protocol

from chatd.edge import problems
from chatd.errors import Overloaded


class TurnedAway(Protocol):
    """Says so without waiting for what is wanted, and closes. ``retry_after_ms`` is asked for when it is told.

    Over TLS it only closes: the handshake, only to say so, would cost more than many a request.
    """

    transport: Any

    def __init__(self, retry_after_ms: Callable[[], int]) -> None:
        self._retry_after_ms = retry_after_ms

    def connectionMade(self) -> None:
        """The socket is there."""
        if ISSLTransport.providedBy(self.transport):
            self.transport.abortConnection()
            return
        error = Overloaded("Too many connect at once. Come back later.", retry_after_ms=self._retry_after_ms())
        self.transport.write(problems.last_response(error))
        self.transport.loseConnection()
