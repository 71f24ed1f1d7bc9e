"""Keys that an operator destroyed are forgotten at once, and master keys that are missing are noticed."""

from collections.abc import Collection
from datetime import datetime

from twisted.logger import Logger

from chatd.handlers.profiles import ProfilesChanged
from chatd.interfaces.bus import IRhythm
from chatd.interfaces.keys import IKeyStore
from chatd.records.condition import FINE, Dependency
from chatd.security.sealing import Unreadable
from chatd.state.authors import SERVER, Authors
from chatd.state.exchange import Exchange

log = Logger()

LOOK_SECONDS = 0.5
LOOK_BACK_SECONDS = 60.0
"""How long after the time that it bears a destruction may be committed without being missed."""
CHECK_SECONDS = 60.0


class KeyWatch:
    """Has ``authors`` forget, in ``rhythm``, and checks that the master keys of these ``versions`` are enough.

    It looks into the database and waits for no signal, so it holds whatever becomes of the bus, and whoever destroys a
    key need not be a worker. While the database is away nothing new is read that is sealed; what was destroyed
    meanwhile is found when it is back.

    ``sound`` is false until the server's own key was opened: with wrong master keys a worker is good for nothing.
    """

    def __init__(
        self, store: IKeyStore, authors: Authors, versions: Collection[str], exchange: Exchange, rhythm: IRhythm
    ) -> None:
        self._store = store
        self._authors = authors
        self._versions = versions
        self._exchange = exchange
        self._rhythm = rhythm
        self._looked_at = rhythm.seconds()
        self._told: dict[str, datetime] = {}
        self.sound = False
        self.missing: tuple[str, ...] = ()
        rhythm.every(LOOK_SECONDS, self._look)
        rhythm.every(CHECK_SECONDS, self._check)

    @property
    def condition(self) -> Dependency:
        """Whether what people wrote can be read."""
        if not self.sound:
            return Dependency(state="unavailable", detail="the server's own key has not been opened")
        if self.missing:
            return Dependency(state="degraded", detail="a master key that some people's keys need is not configured")
        return FINE

    async def _look(self) -> None:
        started = self._rhythm.seconds()
        destroyed = await self._store.destroyed_within(started - self._looked_at + LOOK_BACK_SECONDS)
        self._looked_at = started
        news = {user for user, at in destroyed.items() if self._told.get(user) != at}
        self._told = dict(destroyed)
        # Again and again while it is recent: a read that was under way may have brought the old key back, and opened
        # the profile with it.
        changed = news | {user for user in destroyed if self._authors.forget(user)}
        if changed:
            self._exchange.heed(ProfilesChanged(users=tuple(changed)))
        for user in sorted(news):
            log.info("the data key of {user!r} was destroyed at {at}", user=user, at=destroyed[user].isoformat())

    async def _check(self) -> None:
        try:
            await self._authors.writing(SERVER)
        except Unreadable as unreadable:
            self.sound = False
            log.error("not ready: the server's own data key does not open: {why}", why=str(unreadable))
        else:
            self.sound = True
        missing = tuple(version for version in await self._store.masters() if version not in self._versions)
        if missing != self.missing and missing:
            log.error(
                "data keys are wrapped by master keys that are not configured: {versions};"
                " what their owners wrote cannot be read until they are",
                versions=", ".join(missing),
            )
        self.missing = missing
