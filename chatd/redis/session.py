"""A connection to Redis, which is trusted with nothing: whatever it says, it takes bounded room and raises nowhere."""

from typing import Any

import txredisapi
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from chatd.redis.address import ANSWER_SECONDS, RedisAddress

log = Logger()


class Session(txredisapi.RedisProtocol):  # type: ignore[misc]  # txredisapi is not annotated
    """One connection. Its end is called back to ``ended``.

    It ends by itself where a reply is not there ANSWER_SECONDS after its command, where more than ``most_unread`` bytes
    come of one reply, and where what comes is no reply, or nobody's.
    """

    def __init__(self, most_unread: int) -> None:
        super().__init__(charset=None, convertNumbers=False, replyTimeout=ANSWER_SECONDS)
        self.ended: Deferred[None] = Deferred()
        self._most_unread = most_unread
        self._unread = 0

    async def introduce(self, address: RedisAddress) -> None:
        """Say who comes, if that has to be said. Raises txredisapi's RedisError."""
        if address.password is not None:
            await self.auth(address.password, address.username)

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        if not unpause:
            self._unread += len(data)
            if self._unread > self._most_unread:
                self.end()
                return
        try:
            super().dataReceived(data, unpause)
        except Exception as error:  # an edge: txredisapi's parser raises whatever comes of what is no reply
            log.warn("what Redis says makes no sense: {reason}", reason=type(error).__name__)
            self.end()

    def replyReceived(self, reply: Any) -> None:
        self._unread = 0
        if self.replyQueue.waiting:
            super().replyReceived(reply)
        else:
            self.end()

    def connectionLost(self, why: Any) -> None:
        super().connectionLost(why)
        self.ended.callback(None)

    def end(self) -> None:
        """Drop the connection, with all that has not been answered."""
        if self.transport is not None:
            self.transport.abortConnection()
