"""The epoch in PostgreSQL, and where a database is.

A place is told by what no restored copy shares with its original:

========= ========================================= ===============================================================
system    the cluster's identifier                  another ``initdb``: a dump that was restored elsewhere
timeline  of the write-ahead log that is written    a recovery to a point in time, a standby that was promoted
database  its oid                                   a dump that was restored under another or the same name
tables    the oid of ``chatd.conversations``        a dump that was restored over the tables that had been there
========= ========================================= ===============================================================

The timeline is that of the log and not that of the last checkpoint (``pg_control_checkpoint``), which after a promotion
is the old one for a while. A copy of the files that was put back in place has all of these in common with what was
there before: that an operator has to tell.
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import psycopg2
from psycopg2 import errors
from twisted.logger import Logger
from zope.interface import implementer

from chatd.errors import Unavailable
from chatd.interfaces.epochs import IEpochs
from chatd.records.base import Record
from chatd.records.epochs import Epoch
from chatd.store.connection import Connection
from chatd.store.failures import RETRY_AFTER_MS, SessionError, told
from chatd.store.pool import Pool
from chatd.store.transaction import Cursor

log = Logger()

NAME_BYTES: Final = 12

UNKNOWN: Final = "unknown"
"""What this role may not ask, or what this server does not know."""

SYSTEM = "SELECT system_identifier FROM pg_control_system()"
TIMELINE = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"
DATABASE = """
SELECT pg_is_in_recovery(), oid, to_regclass('chatd.conversations')::oid
FROM pg_database WHERE datname = current_database()
"""
READ = "SELECT epoch, since, place FROM chatd.epoch WHERE one"
# Whoever comes second finds the place of the first, and changes nothing.
SETTLE = """
INSERT INTO chatd.epoch AS e (epoch, place) VALUES (%(epoch)s, %(place)s)
ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, place = excluded.place, since = now()
WHERE e.place <> excluded.place
RETURNING epoch
"""
RENEW = """
INSERT INTO chatd.epoch (epoch, place) VALUES (%(epoch)s, %(place)s)
ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, place = excluded.place, since = now()
"""

_UNTOLD = (errors.InsufficientPrivilege, errors.UndefinedFunction, errors.FeatureNotSupported)


def new_epoch() -> str:
    """A name that no epoch has had."""
    return secrets.token_urlsafe(NAME_BYTES)


class EpochChanged(SessionError):
    """The database is not, or no longer, of the epoch that whoever uses it began with."""


class _Kept(Record, frozen=True, kw_only=True, gc=False):
    name: str
    since: datetime
    place: str


@implementer(IEpochs)
class PostgresEpochs:
    """See :class:`~chatd.interfaces.epochs.IEpochs`. ``settle`` needs no running pool. ``new_name`` never repeats."""

    def __init__(self, pool: Pool, new_name: Callable[[], str]) -> None:
        self._pool = pool
        self._new_name = new_name

    async def settle(self) -> str:
        """See :class:`~chatd.interfaces.epochs.IEpochs`."""
        connection = await self._pool.dedicated()
        try:
            return await self._settle(Cursor(connection))
        except (psycopg2.Error, SessionError) as error:
            # Whether it was done is found when it is tried again.
            answer = told(error, writes=False)
            if answer is None:
                raise
            raise answer from error
        finally:
            connection.end(SessionError("the epoch is settled"))

    async def _settle(self, cursor: Cursor) -> str:
        here, kept = await _place(cursor), await _kept(cursor)
        if kept is not None and kept.place == here:
            return kept.name
        name = self._new_name()
        if not await cursor.query(SETTLE, {"epoch": name, "place": here}):
            [(name, _, _)] = await cursor.query(READ)
        elif kept is None:
            log.info("the epoch of this database is {epoch}", epoch=name)
        else:
            log.warn(
                "this database was restored, moved or promoted: it was at {before} and is at {here}."
                " A new epoch begins, {epoch}: clients resynchronise",
                before=kept.place,
                here=here,
                epoch=name,
            )
        return str(name)

    async def current(self) -> Epoch:
        """See :class:`~chatd.interfaces.epochs.IEpochs`."""
        try:
            return await self._pool.several(_look)
        except errors.UndefinedTable as error:
            # A dump that is just being restored, perhaps.
            raise Unavailable(retry_after_ms=RETRY_AFTER_MS) from error

    async def renew(self) -> str:
        """See :class:`~chatd.interfaces.epochs.IEpochs`."""
        name = self._new_name()
        here = await self._pool.several(_place)
        await self._pool.query(RENEW, {"epoch": name, "place": here}, writes=True)
        return name


async def look(connection: Connection) -> Epoch:
    """What :meth:`PostgresEpochs.current` gives, of one session; raises psycopg2's errors and `SessionError`."""
    return await _look(Cursor(connection))


async def _look(cursor: Cursor) -> Epoch:
    here, kept = await _place(cursor), await _kept(cursor)
    if kept is None:
        raise SessionError("the database has no epoch: it is just being restored, or chatd has yet to prepare it")
    return Epoch(name=kept.name, since=kept.since, place=kept.place, here=here)


async def _kept(cursor: Cursor) -> _Kept | None:
    kept = [_Kept(name=name, since=since, place=place) for name, since, place in await cursor.query(READ)]
    return kept[0] if kept else None


async def _place(cursor: Cursor) -> str:
    [(standby, database, tables)] = await cursor.query(DATABASE)
    if standby:
        raise SessionError("this is a standby, which writes no log of its own")
    system, timeline = await _asked(cursor, SYSTEM), await _asked(cursor, TIMELINE)
    return f"system {system}, timeline {timeline}, database {database}, tables {tables}"


async def _asked(cursor: Cursor, question: str) -> Any:
    try:
        [(answer,)] = await cursor.query(question)
    except _UNTOLD:
        return UNKNOWN
    return answer
