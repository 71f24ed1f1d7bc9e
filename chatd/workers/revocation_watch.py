"""Revocations reach the connections that live on revoked tokens: told by signals, and looked for twice a second."""

from collections.abc import Callable, Set

from chatd.interfaces.bus import IRhythm
from chatd.interfaces.devices import IDeviceStore
from chatd.records.devices import TokensRevoked
from chatd.state.exchange import Exchange
from chatd.state.revocations import Revocations

LOOK_SECONDS = 0.5
LOOK_BACK_SECONDS = 60.0
"""How long after the time that it bears a revocation may be committed, and a clock be set, without being missed."""
LATE_SECONDS = 10.0
"""How long after the one before it a look may begin and go no further back: the process may have stood still."""
PRUNE_SECONDS = 3600.0
KEPT_SECONDS = 7200.0
"""How much longer revocations are known than the tokens live: a clock that was set forward may be set back again."""


class RevocationWatch:
    """Keeps ``revocations`` as the database has them, in ``rhythm``; ``revoked`` is told whose tokens are concerned.

    While the database is away, or the process is stopped, what is known goes on to be refused, and the next look after
    it looks back as far as need be: it reads everything again.
    """

    def __init__(
        self,
        store: IDeviceStore,
        revocations: Revocations,
        exchange: Exchange,
        rhythm: IRhythm,
        now: Callable[[], float],
        revoked: Callable[[Set[str]], None],
    ) -> None:
        self._store = store
        self._revocations = revocations
        self._rhythm = rhythm
        self._now = now
        self._revoked = revoked
        self._missed = True
        self._looked_at = self._pruned_at = rhythm.seconds()
        look = rhythm.every(LOOK_SECONDS, self._look)
        exchange.listen(TokensRevoked, lambda signal: look())

    async def _look(self) -> None:
        started = self._rhythm.seconds()
        missed = self._missed or started - self._looked_at > LATE_SECONDS
        within = None if missed else LOOK_BACK_SECONDS
        self._missed, self._looked_at = True, started
        users = self._revocations.learn(await self._store.revocations(within))
        if users:
            self._revoked(users)
        if self._rhythm.seconds() - self._pruned_at > PRUNE_SECONDS:
            self._pruned_at = self._rhythm.seconds()
            self._revocations.forget(self._now() - KEPT_SECONDS)
            await self._store.prune()
        self._missed = False
