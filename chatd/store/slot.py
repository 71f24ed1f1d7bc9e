"""One place in the pool, and the endless task of keeping a living connection in it."""

from collections.abc import Awaitable, Callable

import psycopg2
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.store.connection import Connection
from chatd.store.failures import LetGo, SessionError, first_line

log = Logger()

SHORTEST = 0.1
LONGEST = 5.0


def backoff(attempt: int, random: Callable[[], float]) -> float:
    """Seconds to wait after that many failures (from 1) in a row: doubling to a cap, then halved at most by chance.

    The jitter keeps workers and slots from coming back to a restarted server in one wave.
    """
    return min(LONGEST, SHORTEST * 2.0 ** min(attempt - 1, 10)) * (0.5 + random() / 2)


class Slot:
    """Connects, waits for the connection's end, backs off, connects again: from `start` to `stop`.

    ``connect`` gets the number of failures so far and gives an open connection. ``joined`` and ``left`` are told of
    each connection that comes to live and of its end, in this order. One that ended soon counts as a failure, unless
    its user gave up: so a server that lets us in and throws us out is not hammered. One that was let go is for others:
    its place stays empty until each that was refused one has tried again.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        connect: Callable[[int], Awaitable[Connection]],
        joined: Callable[[Connection], None],
        left: Callable[[Connection], None],
        random: Callable[[], float],
    ) -> None:
        self._reactor = reactor
        self._connect = connect
        self._joined = joined
        self._left = left
        self._random = random
        self._running = False
        self._task: Deferred[None] | None = None
        self._connection: Connection | None = None

    def start(self) -> None:
        self._running = True
        self._task = Deferred.fromCoroutine(self._tend())
        self._task.addErrback(_ended)

    def stop(self, cause: Exception) -> None:
        """End the connection, or the attempt at one, and stay without."""
        self._running = False
        if self._connection is not None:
            self._connection.end(cause)
        if self._task is not None:
            self._task.cancel()

    async def _tend(self) -> None:
        failures = 0
        while self._running:
            try:
                self._connection = await self._connect(failures)
            except CancelledError:
                raise
            except (psycopg2.Error, SessionError) as error:
                failures += 1
                _complain(failures, error)
            except Exception:  # an edge: a slot that ended would be missing for as long as the process lives
                failures += 1
                log.failure("a connection to PostgreSQL could not be set up")
            else:
                failures = await self._accompany(self._connection, failures)
            if self._running:
                await deferLater(self._reactor, backoff(failures, self._random))

    async def _accompany(self, connection: Connection, failures: int) -> int:
        since = self._reactor.seconds()
        self._joined(connection)
        cause = await connection.lost
        self._connection = None
        self._left(connection)
        if isinstance(cause, LetGo):
            await deferLater(self._reactor, LONGEST)
        elif self._running:
            log.warn("a connection to PostgreSQL was lost: {reason}", reason=first_line(cause))
        if isinstance(cause, CancelledError) or self._reactor.seconds() - since > LONGEST:
            return 1
        return failures + 1


def _complain(failures: int, error: Exception) -> None:
    """Log the 1st, 2nd, 4th, 8th failure in a row, so that a long outage does not fill a disk."""
    if failures & (failures - 1) == 0:
        log.warn("PostgreSQL is out of reach: {reason}", reason=first_line(error), failures=failures)


def _ended(failure: Failure) -> None:
    if not isinstance(failure.value, CancelledError):
        log.failure("a slot of the pool ended", failure)
