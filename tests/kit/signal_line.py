"""What workers signal each other, in memory, where it can be lost, repeated and late."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from twisted.internet.task import Clock

from chatd.bus.packets import Vocabulary
from chatd.records.base import Signal

Said = TypeVar("Said", bound=Signal)


def raised(error: BaseException) -> None:
    """For whoever is told of what nobody foresaw."""
    raise error


class SignalLine(Generic[Said]):
    """It carries one ``kind`` of signals, and loses them while it is ``cut``; each arrives ``late`` seconds later.

    ``chance`` is asked for each one and each of those who listen, and says how late each copy of it comes.
    """

    def __init__(self, kind: type[Said]) -> None:
        self.clock = Clock()
        self.heeds: list[Callable[[Signal], None]] = []
        self.said: list[Said] = []
        self.late = 0.0
        self.cut = False
        self.chance: Callable[[], Sequence[float]] = lambda: [0.0]
        self._vocabulary = Vocabulary([kind], lambda name: raised(AssertionError(name)))

    def signal(self, signal: Any) -> None:
        """See :class:`~chatd.interfaces.bus.IBus`."""
        self.said.append(signal)
        # As it crosses a bus: as bytes, and only what the types let in.
        arrived = self._vocabulary.read(msgspec.Raw(msgspec.msgpack.encode(signal)))
        for heed in [] if self.cut else self.heeds:
            for more in self.chance():
                self.clock.callLater(self.late + more, heed, arrived)
