"""The epoch in memory."""

from collections.abc import Callable
from datetime import datetime

from zope.interface import implementer

from chatd.errors import Unavailable
from chatd.interfaces.epochs import IEpochs
from chatd.records.epochs import Epoch


@implementer(IEpochs)
class MemoryEpochs:
    """See :class:`~chatd.interfaces.epochs.IEpochs`. ``here`` is where the database is; it may be set."""

    def __init__(self, now: Callable[[], datetime], new_name: Callable[[], str]) -> None:
        self.here = "memory"
        self._now = now
        self._new_name = new_name
        self._epoch: Epoch | None = None

    async def settle(self) -> str:
        """See :class:`~chatd.interfaces.epochs.IEpochs`."""
        if self._epoch is None or self._epoch.place != self.here:
            return await self.renew()
        return self._epoch.name

    async def current(self) -> Epoch:
        """See :class:`~chatd.interfaces.epochs.IEpochs`."""
        if self._epoch is None:
            raise Unavailable
        return Epoch(name=self._epoch.name, since=self._epoch.since, place=self._epoch.place, here=self.here)

    async def renew(self) -> str:
        """See :class:`~chatd.interfaces.epochs.IEpochs`."""
        self._epoch = Epoch(name=self._new_name(), since=self._now(), place=self.here, here=self.here)
        return self._epoch.name
