"""All workers together: they start at once, are replaced one by one, and stop together.

The rules of a single worker stand in ``chatd/workers/slot.py``. Nothing here touches a process, a socket or a signal.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from chatd.records.condition import Dependency, merged
from chatd.workers.orders import Order
from chatd.workers.run import TICK_S, Spawn
from chatd.workers.slot import Slot, State

log = Logger()


class Supervisor:
    """Keeps so many workers running. ``jitter`` gives numbers from 0 to 1; ``spawn`` starts a process."""

    def __init__(self, workers: int, spawn: Spawn, clock: IReactorTime, jitter: Callable[[], float]) -> None:
        self.slots: Sequence[Slot] = [Slot(number + 1, spawn, clock, jitter) for number in range(workers)]
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock
        self._wanted: Order | None = None
        self._rolling = False
        self._stopping = False

    @property
    def started(self) -> bool:
        """Whether workers are to run: between ``start`` and ``stop``."""
        return self._ticking.running and not self._stopping

    @property
    def ready(self) -> bool:
        """Whether every worker can carry out commands now."""
        return not self._stopping and all(slot.ready for slot in self.slots)

    @property
    def silent(self) -> bool:
        """Whether a worker that was ready does not answer."""
        return any(slot.silent for slot in self.slots)

    @property
    def rolling(self) -> bool:
        """Whether workers are being replaced."""
        return self._rolling

    @property
    def summary(self) -> str:
        """How the workers are, in a few words for a person."""
        ready = sum(slot.ready for slot in self.slots)
        looping = [str(slot.number) for slot in self.slots if slot.crash_looping]
        words = f"{ready} of {len(self.slots)} workers ready"
        return f"{words}; failing again and again: {', '.join(looping)}" if looping else words

    def start(self, order: Order) -> None:
        """Start all workers."""
        for slot in self.slots:
            slot.start(order)
        self._ticking.start(TICK_S, now=False).addErrback(_defect)

    def replace(self, order: Order) -> None:
        """Replace all workers, one by one, by those with this order.

        The first that does not become ready ends it: it and those behind it go on as they are. An order that comes
        while workers are being replaced takes the place of the one before, and all are replaced once more.
        """
        self._wanted = order
        if not self._rolling and not self._stopping:
            self._rolling = True
            Deferred.fromCoroutine(self._roll()).addErrback(_defect)

    async def _roll(self) -> None:
        try:
            while self._wanted is not None and not self._stopping:
                order, self._wanted = self._wanted, None
                await self._replace_all(order)
        finally:
            self._rolling = False

    async def _replace_all(self, order: Order) -> None:
        for slot in self.slots:
            if self._wanted is not None or self._stopping:
                return
            if not await slot.replace(order):
                if not self._stopping:
                    log.error(
                        "worker {n} could not be replaced: it and those behind it go on with the settings they have",
                        n=slot.number,
                    )
                return
        log.info("all workers have been replaced")

    def stop(self) -> Deferred[None]:
        """Have all workers drain and end, all at once; fires when every process is gone."""
        self._stopping = True
        done: Deferred[None] = gatherResults([slot.stop() for slot in self.slots]).addCallback(lambda _: None)
        return done.addBoth(self._stopped)

    def _stopped(self, result: None) -> None:
        if self._ticking.running:
            self._ticking.stop()

    @property
    def states(self) -> dict[int, State]:
        """What each worker is at."""
        return {slot.number: slot.state for slot in self.slots}

    @property
    def dependencies(self) -> dict[str, Dependency]:
        """How what the workers need is, by what all of them say."""
        return merged({slot.number: slot.process.dependencies for slot in self.slots if slot.process is not None})

    def _tick(self) -> None:
        for slot in self.slots:
            slot.tick()


def _defect(failure: Failure) -> None:
    log.failure("the supervision of the workers failed", failure)
