"""The line of those who wait for a connection: first come, first served, bounded in length and in time."""

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from chatd.errors import Overloaded, ServerError
from chatd.store.connection import Connection
from chatd.store.failures import RETRY_AFTER_MS


class Line:
    """At most ``length`` wait, each ``patience`` seconds; then each gets the error that ``excuse`` gives."""

    def __init__(self, reactor: IReactorTime, length: int, patience: float, excuse: Callable[[], ServerError]) -> None:
        self._reactor = reactor
        self._length = length
        self._patience = patience
        self._excuse = excuse
        self._waiting: OrderedDict[Deferred[Connection], IDelayedCall] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self) -> Deferred[Connection]:
        """Wait; cancelling leaves the line. Raises Overloaded if it is full."""
        if len(self._waiting) >= self._length:
            raise Overloaded(retry_after_ms=RETRY_AFTER_MS)
        waiter: Deferred[Connection] = Deferred(self._leave)
        self._waiting[waiter] = self._reactor.callLater(self._patience, self._send_away, waiter)
        return waiter

    def serve(self, connection: Connection) -> None:
        """Give ``connection`` to the first in the line, which is not empty."""
        waiter, patience = self._waiting.popitem(last=False)
        patience.cancel()
        waiter.callback(connection)

    def dissolve(self) -> None:
        """Send everyone away now."""
        while self._waiting:
            waiter, patience = self._waiting.popitem(last=False)
            patience.cancel()
            waiter.errback(self._excuse())

    def _leave(self, waiter: Deferred[Connection]) -> None:
        self._waiting.pop(waiter).cancel()

    def _send_away(self, waiter: Deferred[Connection]) -> None:
        del self._waiting[waiter]
        waiter.errback(self._excuse())
