"""One session with PostgreSQL that always answers in time or ends, and says so once.

txpostgres does the waiting. Five of its habits are changed here: a connection that dies while idle raises into the
reactor, cancelling blocks the process while libpq opens a second connection, a statement timeout looks like a
cancelled Deferred, nothing bounds a connect, and the reactor is left to watch descriptors that libpq has closed.
"""

import select
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import psycopg2
from psycopg2.extensions import (
    POLL_READ,
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INERROR,
    TRANSACTION_STATUS_INTRANS,
    make_dsn,
    parse_dsn,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from txpostgres import txpostgres

from chatd.records.base import Record
from chatd.store.failures import Lost, NotSent, SessionError, ends_session, first_line, makes_stale

MOST_PIECES = 64
"""How many pieces of an answer, of 16 KiB each, are taken before others have their turn."""

_AT_REST = frozenset({TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS, TRANSACTION_STATUS_INERROR})


class Bounds(Record, frozen=True, kw_only=True, gc=False):
    """How long things may take, in seconds.

    ``connect`` holds for everything until a session is fit for use. The server ends a statement after
    ``statement`` (None: never); if its word does not arrive ``grace`` later, the network is taken for dead.
    """

    connect: float = 5.0
    statement: float | None = 5.0
    grace: float = 2.0

    @property
    def answer(self) -> float | None:
        """By when a statement has been answered, or never will be."""
        return None if self.statement is None else self.statement + self.grace


class _Session(psycopg2.extensions.connection):
    """psycopg2's connection, which takes all of an answer that has arrived at once.

    libpq reads 16 KiB at a time, and a turn of the reactor for each costs more than what is read.
    """

    _arrivals: "select.poll | None" = None

    def poll(self) -> int:
        state = super().poll()
        for _ in range(MOST_PIECES):
            if state != POLL_READ or not self.isexecuting() or not self.has_heard():
                break
            state = super().poll()
        return state

    def has_heard(self, milliseconds: int = 0) -> bool:
        """Whether something of the server's is there to be read, be it that it has gone; not while it is connecting."""
        if self._arrivals is None:
            self._arrivals = select.poll()
            self._arrivals.register(self.fileno(), select.POLLIN)
        return bool(self._arrivals.poll(milliseconds))


class _Uncancelled:
    """Nothing cancels txpostgres' Deferreds here, so it need not take any error for the sign of that."""

    def _handleCancellation(self, failure: Any) -> Any:
        return failure


class _Cursor(_Uncancelled, txpostgres.Cursor):  # type: ignore[misc]  # txpostgres is untyped
    """txpostgres' cursor, to which a statement timeout is an error like any other."""

    def execute(self, query: str, params: Any = None) -> Deferred[Any]:
        # Sending may have libpq close its socket. Once that has happened epoll's reactor cannot let go of it, and takes
        # whoever is given the same descriptor for watched already.
        self.reactor.removeReader(self._connection)
        answer: Deferred[Any] = super().execute(query, params)
        if answer.called and not self._connection.closed:  # psycopg2 refused it
            self.reactor.addReader(self._connection)
        return answer


class _Wire(_Uncancelled, txpostgres.Connection):  # type: ignore[misc]  # txpostgres is untyped
    """txpostgres' connection, whose death while idle is told to ``ended`` instead of raised into the reactor."""

    connectionFactory = staticmethod(partial(psycopg2.connect, connection_factory=_Session))
    cursorFactory = _Cursor

    def __init__(
        self, reactor: IReactorTime, ended: Callable[[Exception], None], notified: Callable[[str], None]
    ) -> None:
        super().__init__(reactor)
        self._ended = ended
        self._notified = notified

    def poll(self) -> Deferred[Any]:
        connected: Deferred[Any] = super().poll()
        return connected.addCallback(self._still_open)

    def _still_open(self, wire: Any) -> Any:
        if self._connection.closed:  # since libpq said that it is there: txpostgres would begin to watch it
            raise ConnectionDone
        return wire

    def checkForNotifies(self) -> None:
        notifies = self._connection.notifies
        if notifies:
            heard = [notify.payload for notify in notifies]
            del notifies[:]
            for payload in heard:
                self._notified(payload)

    def doRead(self) -> None:
        if self._pollingD is None:
            super().doRead()
        else:  # connecting: libpq may have closed its socket, which txpostgres would then go on to watch
            txpostgres._PollingMixin.doRead(self)

    def continuePolling(self, swallowErrors: bool = False) -> None:
        if self._pollingD is not None:
            super().continuePolling(swallowErrors)
            return
        try:
            super().continuePolling()
        except (psycopg2.Error, txpostgres.UnexpectedPollResult) as error:
            self._ended(error)


class Connection:
    """A session, from `open` until `lost` fires with its cause.

    One statement at a time: who holds the connection waits for one before giving it the next. ``lost`` is called back
    once, with the exception that ended the session. ``reactor`` also provides IReactorFDSet. ``notified`` is told the
    payload of each NOTIFY that the session hears; it does not raise.
    """

    def __init__(
        self, reactor: IReactorTime, bounds: Bounds, notified: Callable[[str], None] = lambda payload: None
    ) -> None:
        self.lost: Deferred[Exception] = Deferred()
        self.prepared = 0
        self.used = False
        self._reactor = reactor
        self._bounds = bounds
        self._limit = bounds.answer
        self._cause: Exception | None = None
        self._asking = False
        self._wire = _Wire(reactor, self.end, notified)

    @property
    def alive(self) -> bool:
        return self._cause is None

    @property
    def in_transaction(self) -> bool:
        return bool(self._wire.get_transaction_status() != TRANSACTION_STATUS_IDLE)

    async def open(self, dsn: str, prepare: Sequence[str] = (), admit: "Admit | None" = None) -> None:
        """Connect, set the session up, ask ``admit`` and run the statements of ``prepare``; once for each object.

        Raises psycopg2's error or `SessionError`; the connection has ended then. Host names are looked up by libpq,
        which blocks: give addresses, or a resolver that is near.
        """
        too_late = TimeoutError(f"no session within {self._bounds.connect} s")
        deadline = self._reactor.callLater(self._bounds.connect, self.end, too_late)
        ready = False
        try:
            await self._answered(self._wire.connect(dsn), Lost)
            await self.run(session_settings(self._bounds))
            if admit is not None:
                await admit(self)
            await self.prepare(prepare)
            ready = True
        finally:
            if deadline.active():
                deadline.cancel()
            if not ready:
                self.end(SessionError("the session could not be set up"))

    async def prepare(self, statements: Sequence[str]) -> None:
        """Run those of ``statements`` that this session has not yet run; the sequence only ever grows."""
        for statement in statements[self.prepared :]:
            await self.run(statement)
            self.prepared += 1

    async def run(self, sql: str, params: Any = None) -> Any:
        """Run one statement and give psycopg2's cursor with its result.

        Without ``params``, ``%`` has no meaning in ``sql``. Raises psycopg2's error if the server refused, `Lost` if
        it did not answer, `NotSent` if it never heard of it; RuntimeError if another statement is still under way.
        Cancelling ends the connection.
        """
        if self._cause is not None:
            raise NotSent(str(self._cause)) from self._cause
        if self._asking:
            raise RuntimeError("a session runs one statement at a time")
        self._asking = self.used = True
        try:
            return await self._ask(sql, params)
        finally:
            self._asking = False

    def stir(self) -> None:
        """Notice now what befell the connection while it was idle, rather than at the reactor's next turn."""
        for _ in range(3):  # a last word of the server, then the end of the stream
            if self._cause is not None or not self._wire.pollable().has_heard():
                return
            self._wire.doRead()

    def end(self, cause: Exception) -> None:
        """Close the connection, if that has not happened; what is in flight fails with `Lost`."""
        if self._cause is not None:
            return
        self._cause = cause
        self.lost.callback(cause)  # the pool knows before whoever waits for a statement is told
        if self._wire.pollable() is not None:
            self._wire.close()

    async def _ask(self, sql: str, params: Any) -> Any:
        cursor = self._wire.cursor()
        answer = cursor.execute(sql, params)
        if answer.called:  # psycopg2 refused it
            await self._answered(answer, NotSent)
        watchdog = None if self._limit is None else self._reactor.callLater(self._limit, self._give_up)
        try:
            await self._answered(answer, Lost)
        finally:
            if watchdog is not None and watchdog.active():
                watchdog.cancel()
        return cursor._cursor

    def _give_up(self) -> None:
        self.end(TimeoutError(f"no answer within {self._limit} s"))

    async def _answered(self, answer: Deferred[Any], lost: type[SessionError]) -> None:
        """Wait for ``answer``, which txpostgres gives; cancelling this does not reach it, but ends the connection."""
        heard: Deferred[Any] = Deferred(self._cancel)
        answer.addBoth(_pass_on, heard)
        try:
            await heard
        except psycopg2.Error as error:
            if self._is_over(error):
                self.end(error)
                raise lost(first_line(error)) from error
            if makes_stale(error):
                self.end(error)
            raise
        except (ConnectionDone, ConnectionLost, txpostgres.UnexpectedPollResult) as error:
            self.end(error)
        if isinstance(self._cause, CancelledError):
            raise CancelledError from self._cause
        if self._cause is not None:  # though an answer may have come: its rows went with the connection
            raise lost(str(self._cause)) from self._cause

    def _cancel(self, _: Deferred[Any]) -> None:
        self.end(CancelledError("whoever waited for the answer gave up"))

    def _is_over(self, error: psycopg2.Error) -> bool:
        session = self._wire.pollable()
        if session is None or session.closed or ends_session(error):
            return True
        return session.get_transaction_status() not in _AT_REST


Admit = Callable[[Connection], Awaitable[None]]
"""Looks at a session before it is used; raises psycopg2's error or `SessionError` where that is not to be."""


def _pass_on(answer: Any, heard: Deferred[Any]) -> None:
    if not heard.called:
        heard.callback(answer)


def session_settings(bounds: Bounds) -> str:
    """What every session is set to, as one statement of one round trip.

    A lock is given up before the statement is, so that a wait for others and slow work can be told apart, and after
    the deadlock detector has had its second. The keepalives let the server, too, notice a peer that vanished.
    """
    settings = {
        "synchronous_commit": "on",
        "statement_timeout": round((bounds.statement or 0) * 1000),
        "lock_timeout": round((bounds.statement or 0) * 800),
        "idle_in_transaction_session_timeout": round((bounds.answer or 0) * 1000),
        "timezone": "'UTC'",
        "standard_conforming_strings": "on",
        "default_transaction_isolation": "'read committed'",
        "tcp_keepalives_idle": 10,
        "tcp_keepalives_interval": 5,
        "tcp_keepalives_count": 3,
    }
    return "; ".join(f"SET {name} = {value}" for name, value in settings.items())


def complete_dsns(dsn: str, application_name: str, bounds: Bounds) -> tuple[str, ...]:
    """``dsn`` with what keeps a dead network from being believed in, once for each host that may come first.

    libpq tries several hosts in turn but, used without blocking, never gives one up by itself: so every attempt to
    connect starts with another. What ``dsn`` says stands. Raises ValueError if it is no DSN, without quoting it: it may
    hold a password.
    """
    try:
        given = parse_dsn(dsn)
    except psycopg2.ProgrammingError:
        raise ValueError("the DSN of PostgreSQL is neither a connection string of libpq nor a URI") from None
    defaults = {
        "application_name": application_name,
        "keepalives": "1",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": str(round(bounds.connect * 1000)),
        "target_session_attrs": "read-write",
    }
    parts = defaults | given | {"client_encoding": "UTF8"}
    lists = {name: parts[name].split(",") for name in ("host", "hostaddr", "port") if "," in parts.get(name, "")}
    hosts = max((len(values) for values in lists.values()), default=1)
    return tuple(
        make_dsn(**parts | {name: ",".join(values[first:] + values[:first]) for name, values in lists.items()})
        for first in range(hosts)
    )
