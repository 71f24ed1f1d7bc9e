"""A pool of PostgreSQL connections that outlives its server.

- It starts whether or not the server is there, and heals by itself: each `Slot` keeps one connection alive.
- Where the server has too few connections for all pools, those that have some to spare let go of one now and then.
- Who finds no idle connection waits in one line, first come, first served, bounded in length and time.
- Every failure is told as `chatd.store.failures` says; nothing is ever reported as unchanged that may have changed.

What is repeated: `interact`, and `query` if asked, after a deadlock or a serialization failure, a few times with
jitter: the server has rolled back, so this is safe. An interaction must therefore have no effect but on the
database. So does a statement that never left, because its connection had died before: it, or the interaction of which
it was part, goes to another connection. Nothing else is repeated: whether to send again what may have been carried out
is for whoever knows its ``client_id``.
"""

import random as chance
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import psycopg2
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from chatd.errors import Overloaded, ServerError, Unavailable
from chatd.records.base import Record
from chatd.store.connection import Admit, Bounds, Connection, complete_dsns
from chatd.store.failures import RETRY_AFTER_MS, LetGo, NotSent, SessionError, is_repeatable, told
from chatd.store.line import Line
from chatd.store.slot import Slot
from chatd.store.transaction import Cursor, Interaction, P, T, rows, transact

log = Logger()

TRIES = 6


class Occupancy(Record, frozen=True, kw_only=True, gc=False):
    """The pool at one moment: places, connections alive in them, those in use, and who waits for one."""

    size: int
    alive: int
    busy: int
    waiting: int


class Pool(Service):
    """``size`` connections to ``dsn``, which is a libpq connection string or URI.

    Times are in seconds. ``statement_timeout`` is kept by the server, and ``grace`` later by the pool, for a server
    that no longer answers. ``probe_interval``: how often an unused connection is asked for a sign of life.
    ``yield_interval``: how often one of them is let go, for whoever was refused one. ``reactor`` also provides
    IReactorFDSet. A malformed ``dsn`` raises ValueError at once.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        dsn: str,
        *,
        size: int = 8,
        max_waiting: int = 2000,
        connect_timeout: float = 5.0,
        statement_timeout: float = 5.0,
        acquire_timeout: float = 5.0,
        probe_interval: float = 5.0,
        yield_interval: float = 60.0,
        grace: float = 2.0,
        random: Callable[[], float] = chance.random,
        application_name: str = "chatd",
    ) -> None:
        self._reactor = reactor
        self._bounds = Bounds(connect=connect_timeout, statement=statement_timeout, grace=grace)
        self._dsns = complete_dsns(dsn, application_name, self._bounds)
        self._probe_interval = probe_interval
        self._yield_interval = yield_interval
        self._yielded_at = reactor.seconds()
        self._drain_timeout = statement_timeout + grace
        self._random = random
        self._statements: list[str] = []
        self._admit: Admit | None = None
        self._slots = [Slot(reactor, self._connect, self._joined, self._left, random) for _ in range(size)]
        self._alive: set[Connection] = set()
        self._idle: list[Connection] = []  # the last one used is the next one taken: it is the warmest
        self._line = Line(reactor, max_waiting, acquire_timeout, self._excuse)
        self._serving = False
        self._resting: Deferred[None] | None = None
        self._probing = LoopingCall(self._probe_unused)
        self._probing.clock = reactor

    @property
    def ready(self) -> bool:
        """Whether at least one connection lives, as far as is known."""
        return bool(self._alive)

    @property
    def occupancy(self) -> Occupancy:
        alive = len(self._alive)
        return Occupancy(size=len(self._slots), alive=alive, busy=alive - len(self._idle), waiting=len(self._line))

    def startService(self) -> None:
        """Begin to connect, in the background."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted does not annotate it
        for slot in self._slots:
            slot.start()
        self._probing.start(self._probe_interval, now=False).addErrback(
            lambda failure: log.failure("unused connections are no longer probed", failure)
        )

    def stopService(self) -> Deferred[None]:
        """Take nothing new, finish what was taken, close; at the latest after one statement's time."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted does not annotate it
        return Deferred.fromCoroutine(self._wind_down())

    def guard(self, admit: Admit) -> None:
        """Have ``admit`` look at every session before anything else is done with it. Call it before the start."""
        self._admit = admit

    def prepare(self, statements: Sequence[str]) -> None:
        """Have every session, present and future, run these once before anything else: PREPAREs, mostly.

        Call it when what they name exists, that is after the migrations. A session that refuses one of them is
        closed and tried again like one that cannot be had, and logged.
        """
        self._statements += [statement for statement in statements if statement not in self._statements]
        idle, self._idle = self._idle, []
        for connection in idle:
            self._release(connection)

    async def query(
        self, sql: str, params: Any = None, *, writes: bool = False, retry: bool = False
    ) -> list[tuple[Any, ...]]:
        """Run one statement, committed by itself, and give its rows.

        Say ``writes`` if it changes anything: only then is a lost answer told as `OutcomeUnknown`. ``retry``: repeat
        it after a deadlock or serialization failure. Without ``params``, ``%`` has no meaning in ``sql``.
        Raises what `chatd.store.failures` lists.
        """

        async def once(connection: Connection) -> list[tuple[Any, ...]]:
            return rows(await connection.run(sql, params))

        return await self._lend(once, writes=writes, retry=retry)

    async def several(self, reading: Interaction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``reading(cursor, ...)``, an ``async def`` that only reads, on one connection without a transaction.

        It may be run several times. Raises what it raised or what `chatd.store.failures` lists.
        """

        async def once(connection: Connection) -> T:
            return await reading(Cursor(connection), *args, **kwargs)

        return await self._lend(once, writes=False, retry=True)

    async def interact(self, interaction: Interaction[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``interaction(cursor, ...)``, an ``async def``, as one transaction, and give what it returns.

        It may be run several times, so it changes nothing but the database, and lets errors pass that it does not
        expect. Raises what it raised or what `chatd.store.failures` lists.
        """

        async def once(connection: Connection) -> T:
            return await transact(connection, interaction, *args, **kwargs)

        return await self._lend(once, writes=False, retry=True)

    async def dedicated(
        self,
        *,
        unbounded: bool = False,
        guarded: bool = False,
        notified: Callable[[str], None] = lambda payload: None,
    ) -> Connection:
        """A connection beside the pool, which need not run; the caller ends it. Raises Unavailable.

        ``unbounded``: its statements take as long as they take. ``guarded``: it is looked at like those of the pool.
        ``notified`` is told what the session hears.
        """
        bounds = Bounds(connect=self._bounds.connect, statement=None) if unbounded else self._bounds
        error: Exception = Unavailable()
        for attempt in range(len(self._dsns)):
            try:
                return await self._open(attempt, bounds, (), self._admit if guarded else None, notified)
            except (psycopg2.Error, SessionError) as refusal:
                error = refusal
        raise Unavailable(retry_after_ms=RETRY_AFTER_MS) from error

    async def _lend(self, use: Callable[[Connection], Awaitable[T]], *, writes: bool, retry: bool) -> T:
        tries = 0
        while True:
            connection = await self._acquire()
            try:
                return await use(connection)
            except (psycopg2.Error, SessionError) as error:
                tries += 1
                if tries < TRIES and isinstance(error, NotSent):
                    pause = 0.0
                elif tries < TRIES and retry and is_repeatable(error):
                    pause = self._pause(tries)
                else:
                    answer = told(error, writes=writes)
                    if answer is None:
                        raise
                    raise answer from error
            finally:
                self._release(connection)
            await deferLater(self._reactor, pause)

    def _pause(self, tries: int) -> float:
        """Seconds before the next try: at random, so that those who collided do not meet again."""
        return 0.02 * 2.0**tries * self._random()

    async def _acquire(self) -> Connection:
        if not self.running:
            raise self._excuse()
        return self._take() or await self._line.join()

    def _take(self) -> Connection | None:
        """An idle connection that lives, as far as can be known without asking the server."""
        while self._idle:
            connection = self._idle.pop()
            connection.stir()
            if connection.alive:
                return connection
        return None

    def _excuse(self) -> ServerError:
        """Why a connection could not be had: too many want one, or there is none."""
        kind = Overloaded if self._alive and self.running else Unavailable
        return kind(retry_after_ms=RETRY_AFTER_MS)

    def _release(self, connection: Connection) -> None:
        """Take a connection back, or in, if it is fit for the next one who wants it."""
        if not connection.alive:
            self._note_rest()
        elif connection.in_transaction:
            connection.end(SessionError("it was given back within a transaction"))
        elif connection.prepared < len(self._statements):
            self._in_background(self._complete(connection))
        else:
            self._idle.append(connection)
            self._serve()

    def _serve(self) -> None:
        """Pass idle connections on to the line; a loop and not a recursion, however soon they come back."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._line and (connection := self._take()):
                self._line.serve(connection)
        finally:
            self._serving = False
        self._note_rest()

    async def _complete(self, connection: Connection) -> None:
        try:
            await connection.prepare(self._statements)
        except (psycopg2.Error, SessionError) as error:
            connection.end(error)
        self._release(connection)

    async def _connect(self, attempt: int) -> Connection:
        return await self._open(attempt, self._bounds, self._statements, self._admit)

    async def _open(
        self,
        attempt: int,
        bounds: Bounds,
        prepare: Sequence[str],
        admit: Admit | None,
        notified: Callable[[str], None] = lambda payload: None,
    ) -> Connection:
        connection = Connection(self._reactor, bounds, notified)
        await connection.open(self._dsns[attempt % len(self._dsns)], prepare, admit)
        return connection

    def _joined(self, connection: Connection) -> None:
        if not self._alive:
            log.info("PostgreSQL is within reach")
        self._alive.add(connection)
        self._release(connection)

    def _left(self, connection: Connection) -> None:
        self._alive.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._note_rest()

    def _probe_unused(self) -> None:
        """Ask every connection that nobody used since the last time: a dead network is silent.

        A full pool hears of no refusal, so it lets go of one whether or not others are refused.
        """
        unused = [connection for connection in self._idle if not connection.used]
        for connection in self._idle:
            connection.used = False
        if unused and len(self._alive) > 1 and self._reactor.seconds() - self._yielded_at >= self._yield_interval:
            self._yielded_at = self._reactor.seconds()
            unused.pop(0).end(LetGo("nobody needed it"))
        for connection in unused:
            self._idle.remove(connection)
            self._in_background(self._probe(connection))

    async def _probe(self, connection: Connection) -> None:
        try:
            await connection.run("SELECT 1")
        except (psycopg2.Error, SessionError) as error:
            connection.end(error)
        connection.used = False
        self._release(connection)

    def _in_background(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        Deferred.fromCoroutine(work).addErrback(lambda failure: log.failure("the pool failed", failure))

    @property
    def _at_rest(self) -> bool:
        """Whether nothing is under way: waiting counts only while there is a connection to wait for."""
        return not self._alive or (len(self._idle) == len(self._alive) and not self._line)

    def _note_rest(self) -> None:
        if self._resting is not None and self._at_rest:
            resting, self._resting = self._resting, None
            resting.callback(None)

    async def _wind_down(self) -> None:
        if self._probing.running:
            self._probing.stop()
        if not self._at_rest:
            self._resting = Deferred(lambda _: None)
            self._resting.addTimeout(self._drain_timeout, self._reactor, onTimeoutCancel=lambda *_: None)
            await self._resting
            self._resting = None
            await deferLater(self._reactor, 0.0)  # let the last one hear its answer first
        for slot in self._slots:
            slot.stop(SessionError("the pool was stopped"))
        self._line.dissolve()
