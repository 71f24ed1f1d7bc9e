"""One process in a slot, from its spawning to its end.

Every :data:`TICK_S` it is looked at. If it does not answer for :data:`SILENT_TICKS` it is killed, and so it is if it
does not end within its time to drain. Ticks are counted and not seconds, so that a parent that was held up itself
blames nobody.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from chatd.records.condition import Dependency
from chatd.workers.control import Family
from chatd.workers.orders import Order

TICK_S = 0.5
SILENT_TICKS = 120
LATE_TICKS = 2
"""Looks that may be without an answer before a process counts as silent."""
DRAIN_EXTRA_S = 8.0
"""What a process is given to end, beyond the time in which it drains."""


class Process(Protocol):
    """A running worker process, as a slot needs it."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def dependencies(self) -> Mapping[str, Dependency]:
        """How what it needs is, by its last sign of life."""

    def look(self) -> None:
        """Ask for a sign of life, which comes as ``Watcher.answered``."""

    def stop(self) -> None:
        """Have it drain and end."""

    def kill(self) -> None:
        """End it as it is."""

    def measure(self) -> Deferred[tuple[Family, ...]]:
        """Its figures. Cancel it after a while: a process that hangs does not answer."""


class Watcher(Protocol):
    """Who is told about a process."""

    def answered(self, ready: bool) -> None:
        """It lives, and whether it can carry out commands."""

    def ended(self, how: str, orderly: bool) -> None:
        """It is gone and reaped. Said once, and last."""


Spawn = Callable[[int, Order, Watcher], Process]
"""Starts a process for the worker of that number; raises OSError where the system gives none."""


class Place(Protocol):
    """The slot that a process is in."""

    def first_ready(self, run: "Run") -> None:
        """It is ready for the first time."""

    def run_ended(self, run: "Run", how: str, orderly: bool) -> None:
        """It is gone."""


class Run:
    """One process. It begins with its order; its slot sets ``process`` once it is spawned."""

    def __init__(self, place: Place, order: Order, began: float) -> None:
        self._place = place
        self.order = order
        self.began = began
        self.ready = False
        self.was_ready = False
        self.unanswered = 0
        self.ticks_left: int | None = None
        self.doomed = False
        self.process: Process

    @property
    def answers(self) -> bool:
        """Whether it has answered lately."""
        return self.unanswered <= LATE_TICKS

    @property
    def leaving(self) -> bool:
        """Whether it was told to end."""
        return self.ticks_left is not None

    def answered(self, ready: bool) -> None:
        """See :class:`Watcher`."""
        self.unanswered = 0
        self.ready = ready
        if ready and not self.was_ready:
            self.was_ready = True
            self._place.first_ready(self)

    def ended(self, how: str, orderly: bool) -> None:
        """See :class:`Watcher`."""
        self.ready = False
        self._place.run_ended(self, how, orderly)

    def drain(self) -> None:
        """Tell it to end, and give it so long."""
        if not self.leaving:
            self.ticks_left = round((self.order.settings.timeouts.drain + DRAIN_EXTRA_S) / TICK_S)
            self.process.stop()

    def tick(self) -> str:
        """Look at it; why it was killed, if it was just now."""
        self.unanswered += 1
        if self.ticks_left is not None:
            self.ticks_left -= 1
        overdue = self.ticks_left is not None and self.ticks_left < 0
        if not self.doomed and (overdue or self.unanswered > SILENT_TICKS):
            self.doomed = True
            self.process.kill()
            return "it does not end" if overdue else "it does not answer"
        self.process.look()
        return ""
