"""One worker's life: it listens at once, brings the database up to date when it comes, and drains before it ends."""

# Autobahn's and Twisted's classes are only partly annotated.
# mypy: allow-untyped-calls

from collections.abc import Awaitable, Callable, Mapping, Sequence

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.edge.site import ChatSite
from chatd.edge.websocket import ConnectionFactory
from chatd.errors import ServerError
from chatd.interfaces.watches import Watch
from chatd.records.condition import Condition, Dependency, condition
from chatd.store.migrate import Migration, migrate
from chatd.store.pool import Pool

log = Logger()

RETRY_SECONDS = 2.0
POLL_SECONDS = 0.05
ARRIVAL_SECONDS = 0.5
"""What a client that has just connected gets to say what it wants, when a worker is told to end."""
PARTING_SECONDS = 1.0
"""What is under way gets to be answered in, when a worker may not go on."""


async def _nothing() -> None:
    """Where there is nothing to be done first."""


class Worker(Service):
    """Serves on ``endpoints`` from the database behind ``pool``; ``rhythm`` beats while that runs.

    ``metrics`` says where else to listen, and with what; ``bus`` links this worker to others. ``begin`` follows the
    migrations, and comes again with them while it raises a ServerError; ``watches`` begin once the database is there,
    and ``equipped`` is whether what is needed has been read from it. ``dependencies`` tells how what is needed is.
    ``listening`` is told once clients find it there. ``broken`` is told why this worker cannot go on: a port that is
    taken, a database that this version may not touch.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        pool: Pool,
        migrations: Sequence[Migration],
        prepared: Sequence[str],
        site: ChatSite,
        connections: ConnectionFactory,
        endpoints: Sequence[IStreamServerEndpoint],
        *,
        drain: float,
        listening: Callable[[], None],
        broken: Callable[[BaseException], None],
        metrics: tuple[IStreamServerEndpoint, IProtocolFactory] | None = None,
        begin: Callable[[], Awaitable[None]] = _nothing,
        watches: Sequence[Watch] = (),
        equipped: Callable[[], bool] = lambda: True,
        dependencies: Callable[[], Mapping[str, Dependency | None]] = dict,
        rhythm: Service | None = None,
        bus: IService | None = None,
    ) -> None:
        self._reactor = reactor
        self._pool = pool
        self._migrations = migrations
        self._prepared = prepared
        self._site = site
        self._connections = connections
        self._endpoints = endpoints
        self._drain = drain
        self._listening = listening
        self._broken = broken
        self._metrics = metrics
        self._begin = begin
        self._watches = watches
        self._equipped = equipped
        self._dependencies = dependencies
        self._rhythm = rhythm or Service()
        self._bus = bus
        self._ports: list[IListeningPort] = []
        self._giving_up = False

    @property
    def ready(self) -> bool:
        """Whether commands can be carried out now."""
        return bool(self.running) and self._pool.ready and self._equipped()

    @property
    def condition(self) -> Condition:
        """How it is, and what it depends on."""
        return condition(self.ready, self._dependencies())

    def startService(self) -> None:
        """Listen, and begin to prepare the database; neither is waited for."""
        super().startService()
        for beginning in (self._listen(), self._prepare()):
            Deferred.fromCoroutine(beginning).addErrback(self._fail)

    def give_up(self, error: BaseException) -> None:
        """What this worker knows no longer holds: end, and have clients wait for no more than what is nearly done."""
        if self.running:
            self._giving_up = True
            self._broken(error)

    def _fail(self, failure: Failure) -> None:
        if self.running and failure.value is not None:
            self._broken(failure.value)

    async def _listen(self) -> None:
        if self._metrics is not None:
            endpoint, figures = self._metrics
            self._ports.append(await endpoint.listen(figures))
        for endpoint in self._endpoints:
            self._ports.append(await endpoint.listen(self._site))
        self._connections.startFactory()
        self._listening()

    async def _prepare(self) -> None:
        """Bring the database up to date as soon as it is there. Until then the pool, at rest, lends to nobody."""
        while self.running:
            try:
                await migrate(self._pool, self._migrations)
                await self._begin()
            except ServerError as error:
                log.warn("the database is not to be had yet: {detail}", detail=error.detail)
                await deferLater(self._reactor, RETRY_SECONDS)
            else:
                log.info("the database is up to date")
                break
        if self.running:
            self._pool.prepare(self._prepared)
            self._pool.startService()
            if self._bus is not None:
                self._bus.startService()
            for watch in self._watches:
                watch.start()
            self._rhythm.startService()

    def stopService(self) -> Deferred[None]:
        """Stop listening, tell clients to come back, let what is under way be committed and answered, then close."""
        super().stopService()
        return Deferred.fromCoroutine(self._wind_down())

    async def _wind_down(self) -> None:
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        arrived_by = self._reactor.seconds() + ARRIVAL_SECONDS
        while self._site.arriving and self._reactor.seconds() < arrived_by:
            await deferLater(self._reactor, POLL_SECONDS)
        for edge in (self._connections, self._site):
            edge.go_away()
        deadline = self._reactor.seconds() + (min(PARTING_SECONDS, self._drain) if self._giving_up else self._drain)
        while self._occupied and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, POLL_SECONDS)
            self._connections.part_from_the_answered()
        if self._giving_up and self._connections.handlers:
            self._connections.part_from_all()
            await deferLater(self._reactor, POLL_SECONDS)
        self._connections.stopFactory()
        for watch in self._watches:
            watch.stop()
        if self._pool.running:
            ended = maybeDeferred(self._rhythm.stopService)
            if self._pool.ready:
                await ended
            # The others hear of what was done last.
            if self._bus is not None:
                await maybeDeferred(self._bus.stopService)
            # Without a database the rhythm ends when nobody waits for one any more.
            await self._pool.stopService()
            await ended

    @property
    def _occupied(self) -> bool:
        """Whether something is under way, or a client has not yet heard that it is to come back."""
        connections, site = self._connections, self._site
        return bool(connections.in_flight or connections.handlers or site.in_flight)
