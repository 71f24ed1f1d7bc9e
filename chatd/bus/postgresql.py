"""PostgreSQL carries the bus: LISTEN and NOTIFY on one channel, over one connection of each worker beside the pool.

A NOTIFY within the transaction of a change would have all commits of the database wait for each other, so what was
committed is told afterwards: in statements of their own, many changes in each.
"""

import base64
import binascii
from collections.abc import Sequence
from functools import partial
from typing import Final

import psycopg2
from twisted.internet.interfaces import IReactorTime

from chatd.bus.carrier import Carrier
from chatd.bus.remote import RemoteBus
from chatd.security.sealing import AuthorKey
from chatd.state.authors import Authors
from chatd.store.arrays import plain_array
from chatd.store.connection import Connection
from chatd.store.failures import SessionError, first_line
from chatd.store.pool import Pool

CHANNEL: Final = "chatd"

MAX_BYTES: Final = 5_900
"""A payload has to be shorter than 8,000 bytes (PostgreSQL manual, NOTIFY), and BASE64 makes four bytes of three."""

NOTIFY: Final = f"SELECT count(pg_notify('{CHANNEL}', p)) FROM unnest(%s::text[]) AS p"


def one_channel(topic: str) -> str:
    """Every worker hears everything: it costs less to drop what concerns nobody than to keep many channels."""
    return CHANNEL


class PostgresBus(Carrier):
    """See the module."""

    name_of_bus = "PostgreSQL"
    deaf = (
        "LISTEN does not work through a pooler that hands sessions around (PgBouncer in transaction mode). Let "
        "database.dsn lead to PostgreSQL itself or to a session pool. Until then people on different workers hear "
        "from each other late."
    )

    def __init__(self, reactor: IReactorTime, pool: Pool, bus: RemoteBus, authors: Authors) -> None:
        super().__init__(reactor, bus, authors)
        self._pool = pool
        self._connection: Connection | None = None

    async def _live(self, key: AuthorKey) -> None:
        # What is still to be said of one database is not for those who listen in another.
        self._connection = connection = await self._pool.dedicated(guarded=True, notified=self._heard)
        try:
            await connection.run(f"LISTEN {CHANNEL}")
            self._bus.link(key, partial(self._carry, connection))
            self._linked()
            await connection.lost
        finally:
            self._connection = None
            connection.end(SessionError("the bus gave up this connection"))

    def _end(self, cause: Exception) -> None:
        if self._connection is not None:
            self._connection.end(cause)

    async def _carry(self, connection: Connection, packets: Sequence[tuple[str, bytes]]) -> None:
        payloads = [base64.b64encode(packet).decode() for _, packet in packets]
        try:
            await connection.run(NOTIFY, (plain_array(payloads),))
        except (psycopg2.Error, SessionError) as error:
            # Whatever it is, another connection is tried: the queue of notifications may be full, for instance.
            connection.end(error)
            raise SessionError(first_line(error)) from error

    def _heard(self, payload: str) -> None:
        try:
            packet = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            packet = b""
        self._bus.hear(packet)
