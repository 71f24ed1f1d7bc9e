"""The bus of a single worker: everything is in this process already."""

from collections.abc import Callable, Collection, Sequence

from zope.interface import implementer

from chatd.interfaces import IBus
from chatd.records import Publication
from chatd.wire.events import EphemeralEvent


@implementer(IBus)
class LocalBus:
    """Hands on at once."""

    def __init__(self) -> None:
        self._receive: Callable[[Sequence[Publication]], None] = _nobody
        self._notice: Callable[[Collection[str], EphemeralEvent], None] = _nobody_at_all

    def subscribe(
        self,
        receive: Callable[[Sequence[Publication]], None],
        notice: Callable[[Collection[str], EphemeralEvent], None],
    ) -> None:
        """See :class:`~chatd.interfaces.IBus`."""
        self._receive = receive
        self._notice = notice

    def publish(self, publications: Sequence[Publication]) -> None:
        """See :class:`~chatd.interfaces.IBus`."""
        self._receive(publications)

    def notify(self, users: Collection[str], event: EphemeralEvent) -> None:
        """See :class:`~chatd.interfaces.IBus`."""
        self._notice(users, event)


def _nobody(publications: Sequence[Publication]) -> None:
    """Before the hub is there, nobody is connected."""


def _nobody_at_all(users: Collection[str], event: EphemeralEvent) -> None:
    """Before the hub is there, nobody is connected."""
