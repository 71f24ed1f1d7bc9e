"""The bus of a single worker: everything is in this process already."""

from collections.abc import Callable, Collection, Sequence

from zope.interface import implementer

from chatd.interfaces.bus import IBus
from chatd.records.base import Signal
from chatd.records.logs import Publication
from chatd.wire.events import EphemeralEvent


@implementer(IBus)
class LocalBus:
    """Hands on at once."""

    def __init__(self) -> None:
        # Before the hub is there, nobody is connected.
        self._receive: Callable[[Sequence[Publication]], None] = _nobody
        self._notice: Callable[[Collection[str], EphemeralEvent], None] = _nobody
        self._heed: Callable[[Signal], None] = _nobody

    def subscribe(
        self,
        receive: Callable[[Sequence[Publication]], None],
        notice: Callable[[Collection[str], EphemeralEvent], None],
        heed: Callable[[Signal], None],
    ) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        self._receive, self._notice, self._heed = receive, notice, heed

    def publish(self, publications: Sequence[Publication]) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        self._receive(publications)

    def notify(self, users: Collection[str], event: EphemeralEvent) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        self._notice(users, event)

    def signal(self, signal: Signal) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        self._heed(signal)


def _nobody(*news: object) -> None:
    """Hears nothing."""
