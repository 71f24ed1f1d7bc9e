"""Revocations reach the connections that live on revoked tokens: told by signals, and looked for twice a second."""

from collections.abc import Callable, Set

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.errors import ServerError
from chatd.interfaces.devices import IDeviceStore
from chatd.records.devices import TokensRevoked
from chatd.state.exchange import Exchange
from chatd.state.revocations import Revocations

log = Logger()

LOOK_SECONDS = 0.5
LOOK_BACK_SECONDS = 60.0
"""How long after the time that it bears a revocation may be committed, and a clock be set, without being missed."""
PRUNE_SECONDS = 3600.0


class RevocationWatch:
    """Keeps ``revocations`` as the database has them; ``revoked`` is told whose tokens are concerned.

    While the database is away, what is known goes on to be refused, and the next look after it looks back as far as
    need be: it reads everything again.
    """

    def __init__(
        self,
        store: IDeviceStore,
        revocations: Revocations,
        exchange: Exchange,
        reactor: IReactorTime,
        now: Callable[[], float],
        revoked: Callable[[Set[str]], None],
    ) -> None:
        self._store = store
        self._revocations = revocations
        self._reactor = reactor
        self._now = now
        self._revoked = revoked
        self._looking = False
        self._again = False
        self._missed = True
        self._pruned_at = reactor.seconds()
        self._loop = LoopingCall(self.look)
        self._loop.clock = reactor
        exchange.listen(TokensRevoked, lambda signal: self.look())

    def start(self) -> None:
        """Look from now on. The database is there."""
        self._loop.start(LOOK_SECONDS).addErrback(
            lambda failure: log.failure("the watch over revocations ended", failure)
        )

    def stop(self) -> None:
        """Look no longer."""
        if self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """See what is new, now or, if that is being done already, once more afterwards."""
        if self._looking:
            self._again = True
            return
        self._looking = True
        # Nobody waits for it: one look that takes long does not hold up the loop.
        Deferred.fromCoroutine(self._look()).addErrback(self._failed).addBoth(self._looked)

    async def _look(self) -> None:
        found = await self._store.revocations(None if self._missed else LOOK_BACK_SECONDS)
        self._missed = False
        users = self._revocations.learn(found)
        if users:
            self._revoked(users)
        if self._reactor.seconds() - self._pruned_at > PRUNE_SECONDS:
            self._pruned_at = self._reactor.seconds()
            self._revocations.forget(self._now())
            await self._store.prune()

    def _failed(self, failure: Failure) -> None:
        self._missed = True
        if not isinstance(failure.value, ServerError):
            log.failure("revocations could not be read", failure)

    def _looked(self, result: object) -> None:
        self._looking = False
        if self._again:
            self._again = False
            self.look()
