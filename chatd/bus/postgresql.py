"""PostgreSQL carries the bus: LISTEN and NOTIFY on one channel, over one connection of each worker beside the pool.

A NOTIFY within the transaction of a change would have all commits of the database wait for each other, so what was
committed is told afterwards: in statements of their own, many changes in each.
"""

import base64
import binascii
import random as chance
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import psycopg2
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.bus.remote import PULSE_SECONDS, RemoteBus
from chatd.errors import ServerError
from chatd.security.sealing import Unreadable
from chatd.state.authors import SERVER, Authors
from chatd.store.arrays import plain_array
from chatd.store.connection import Connection
from chatd.store.failures import SessionError, first_line
from chatd.store.pool import Pool
from chatd.store.slot import backoff

log = Logger()

CHANNEL: Final = "chatd"

MAX_BYTES: Final = 5_900
"""A payload has to be shorter than 8,000 bytes (PostgreSQL manual, NOTIFY), and BASE64 makes four bytes of three."""

DEAF_SECONDS: Final = 3 * PULSE_SECONDS
"""After how long a worker that did not hear itself is taken not to hear anybody."""

NOTIFY: Final = f"SELECT count(pg_notify('{CHANNEL}', p)) FROM unnest(%s::text[]) AS p"

DEAF: Final = (
    "the bus does not hear what it says over PostgreSQL: LISTEN does not work through a pooler that hands sessions "
    "around (PgBouncer in transaction mode). Let database.dsn lead to PostgreSQL itself or to a session pool. Until "
    "then people on different workers hear from each other late."
)


def one_channel(topic: str) -> str:
    """Every worker hears everything: it costs less to drop what concerns nobody than to keep many channels."""
    return CHANNEL


class PostgresBus(Service):
    """Keeps ``bus`` linked, from its start to its stop. ``reactor`` also provides IReactorFDSet."""

    def __init__(
        self,
        reactor: IReactorTime,
        pool: Pool,
        bus: RemoteBus,
        authors: Authors,
        *,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._bus = bus
        self._authors = authors
        self._random = random
        self._connection: Connection | None = None
        self._task: Deferred[None] | None = None
        self._pulse = LoopingCall(self._beat)
        self._pulse.clock = reactor

    def startService(self) -> None:
        """Begin to link, in the background."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted does not annotate it
        self._task = Deferred.fromCoroutine(self._tend())
        self._task.addErrback(_ended)
        self._pulse.start(PULSE_SECONDS, now=False)

    def stopService(self) -> Deferred[None]:
        """Say goodbye and unlink."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted does not annotate it
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._pulse.running:
            self._pulse.stop()
        await self._bus.leave()
        if self._connection is not None:
            self._connection.end(SessionError("the bus was stopped"))
        if self._task is not None:
            self._task.cancel()

    async def _tend(self) -> None:
        failures = 0
        while self.running:
            since = self._reactor.seconds()
            try:
                await self._live()
            except CancelledError:
                raise
            except (psycopg2.Error, SessionError, ServerError, Unreadable) as error:
                reason = first_line(error)
            except Exception:  # an edge: a worker without its bus would be deaf for as long as it lives
                log.failure("the bus failed")
                reason = "see above"
            else:
                reason = "its connection ended"
            self._bus.unlink()
            failures = 1 if self._reactor.seconds() - since > DEAF_SECONDS else failures + 1
            if self.running:
                if failures & (failures - 1) == 0:
                    log.warn("the bus is away: {reason}", reason=reason, failures=failures)
                await deferLater(self._reactor, backoff(failures, self._random))

    async def _live(self) -> None:
        """Link, and return when that has ended."""
        key = await self._authors.writing(SERVER)
        self._connection = connection = await self._pool.dedicated(notified=self._heard)
        try:
            await connection.run(f"LISTEN {CHANNEL}")
            self._bus.link(key, partial(self._carry, connection))
            log.info("the bus is linked over PostgreSQL")
            await connection.lost
        finally:
            self._connection = None
            connection.end(SessionError("the bus gave up this connection"))

    async def _carry(self, connection: Connection, packets: Sequence[tuple[str, bytes]]) -> None:
        payloads = [base64.b64encode(packet).decode() for _, packet in packets]
        try:
            await connection.run(NOTIFY, (plain_array(payloads),))
        except (psycopg2.Error, SessionError) as error:
            # Whatever it is, another connection is tried: the queue of notifications may be full, for instance.
            connection.end(error)
            raise

    def _heard(self, payload: str) -> None:
        try:
            packet = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            packet = b""
        self._bus.hear(packet)

    def _beat(self) -> None:
        connection, silence = self._connection, self._reactor.seconds() - self._bus.echoed_at
        if connection is not None and self._bus.linked and silence > DEAF_SECONDS:
            log.error(DEAF)
            connection.end(SessionError("it does not hear what it says"))
        self._bus.pulse()


def _ended(failure: Failure) -> None:
    if not isinstance(failure.value, CancelledError):
        log.failure("the bus ended", failure)
