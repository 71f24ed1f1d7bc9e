"""Noting which device shows which token, without making anybody wait for it."""

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.errors import ServerError
from chatd.interfaces.devices import IDeviceStore
from chatd.records.devices import Sighting
from chatd.records.tokens import Claims

log = Logger()

AGAIN_SECONDS = 600.0
"""How long a sighting is not noted once more."""


class Sightings:
    """What this worker has noted of late; ``clock`` gives seconds, ``capacity`` bounds what is remembered."""

    def __init__(self, store: IDeviceStore, clock: Callable[[], float], *, capacity: int = 50_000) -> None:
        self._store = store
        self._clock = clock
        self._capacity = capacity
        self._noted: OrderedDict[tuple[str, str, str | None], float] = OrderedDict()

    def note(self, claims: Claims, device: str) -> None:
        """A device has shown a token that holds."""
        key, now = (claims.user, device, claims.token_id), self._clock()
        if self._noted.get(key, -AGAIN_SECONDS) + AGAIN_SECONDS > now:
            return
        self._noted.pop(key, None)
        self._noted[key] = now
        if len(self._noted) > self._capacity:
            self._noted.popitem(last=False)
        sighting = Sighting(user=claims.user, device=device, token_id=claims.token_id, expires_at=claims.expires_at)
        Deferred.fromCoroutine(self._keep(sighting)).addErrback(self._failed, key)

    async def _keep(self, sighting: Sighting) -> None:
        await self._store.note(sighting)

    def _failed(self, failure: Failure, key: tuple[str, str, str | None]) -> None:
        """It is noted the next time that the device shows its token."""
        self._noted.pop(key, None)
        if not isinstance(failure.value, ServerError):
            log.failure("a device could not be noted", failure)
