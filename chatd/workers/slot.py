"""One worker's place, whichever process fills it.

=========== ============ ============== ===============================================================
state       happening    then           what is done
=========== ============ ============== ===============================================================
GONE        START        STARTING       a process is spawned
STARTING    READY        READY          it serves; once that has lasted, its failures are forgotten
STARTING    ENDED        BACKING_OFF    after a pause that doubles with each failure in a row
READY       ENDED        BACKING_OFF    the same; without a pause if it ended in good order
READY       SUCCEEDED    READY          a replacement is ready: its predecessor is told to drain
READY       INHERITED    STARTING       it ended while its replacement is starting, which goes on alone
BACKING_OFF PAUSE_OVER   STARTING       a process is spawned
STARTING    STOP         DRAINING       the process is told to drain
READY       STOP         DRAINING       the same
BACKING_OFF STOP         GONE
DRAINING    ENDED        GONE
=========== ============ ============== ===============================================================

Anything else cannot happen. What becomes of a single process stands in ``chatd/workers/run.py``.
"""

from collections.abc import Callable
from enum import Enum, auto

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from chatd.workers.orders import Order
from chatd.workers.run import Process, Run, Spawn

log = Logger()

REPLACEMENT_TICKS = 120
"""A replacement that is not ready by then, because the database is away for instance, is given up."""
STEADY_AFTER_S = 60.0
SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
LOOP_AFTER = 3
"""Failures in a row that make a crash loop."""


class State(Enum):
    """What a slot is at."""

    STARTING = auto()
    READY = auto()
    DRAINING = auto()
    BACKING_OFF = auto()
    GONE = auto()


class Happening(Enum):
    """What moves a slot on."""

    START = auto()
    READY = auto()
    ENDED = auto()
    SUCCEEDED = auto()
    INHERITED = auto()
    PAUSE_OVER = auto()
    STOP = auto()


TABLE = {
    (State.GONE, Happening.START): State.STARTING,
    (State.STARTING, Happening.READY): State.READY,
    (State.STARTING, Happening.ENDED): State.BACKING_OFF,
    (State.READY, Happening.ENDED): State.BACKING_OFF,
    (State.READY, Happening.SUCCEEDED): State.READY,
    (State.READY, Happening.INHERITED): State.STARTING,
    (State.BACKING_OFF, Happening.PAUSE_OVER): State.STARTING,
    (State.STARTING, Happening.STOP): State.DRAINING,
    (State.READY, Happening.STOP): State.DRAINING,
    (State.BACKING_OFF, Happening.STOP): State.GONE,
    (State.DRAINING, Happening.ENDED): State.GONE,
}


def pause(failures: int, jitter: float) -> float:
    """Seconds before the next start, after so many failures in a row; ``jitter`` from 0 to 1 spreads the workers."""
    longest = min(SHORTEST_PAUSE_S * 2.0 ** min(failures - 1, 16), LONGEST_PAUSE_S)
    return longest * (1 + jitter) / 2


class Slot:
    """Keeps one worker running. ``jitter`` gives numbers from 0 to 1."""

    def __init__(self, number: int, spawn: Spawn, clock: IReactorTime, jitter: Callable[[], float]) -> None:
        self.number = number
        self.state = State.GONE
        self.failures = 0
        self.restarts = 0
        self._spawn = spawn
        self._clock = clock
        self._jitter = jitter
        self._order: Order
        self._current: Run | None = None
        self._successor: Run | None = None
        self._successor_ticks = 0
        self._replaced: Deferred[bool] | None = None
        self._leaving: list[Run] = []
        self._pause: IDelayedCall | None = None
        self._gone: list[Deferred[None]] = []

    # -- what others see --

    @property
    def ready(self) -> bool:
        """Whether its worker can carry out commands now."""
        run = self._current
        return self.state is State.READY and run is not None and run.ready and run.answers

    @property
    def silent(self) -> bool:
        """Whether its worker was ready once and does not answer now."""
        return self._current is not None and self._current.was_ready and not self._current.answers

    @property
    def process(self) -> Process | None:
        """The process that serves, or is about to."""
        return None if self._current is None else self._current.process

    @property
    def crash_looping(self) -> bool:
        """Whether its workers fail one after the other."""
        return self.failures >= LOOP_AFTER

    # -- what it is told --

    def start(self, order: Order) -> None:
        """Fill it."""
        self._order = order
        self._move(Happening.START)
        self._begin()

    def replace(self, order: Order) -> Deferred[bool]:
        """Put a process with this order in the place of the present one, which serves until the new one is ready.

        Fires with whether that came about. Where no process serves, the next one is started with the new order, and
        it has come about once that is ready. If it does not come about, the slot goes on with the order that it had.
        """
        assert self._replaced is None, "one replacement at a time"
        replaced = self._replaced = Deferred()
        self._successor_ticks = REPLACEMENT_TICKS
        if self.state is State.BACKING_OFF:
            self._cancel_pause()
            self._move(Happening.PAUSE_OVER)
            self._begin(order)
        elif self.state is State.STARTING or self.state is State.READY:
            self._successor = self._try_spawn(order)
            if self._successor is None:
                self._settle(False)
        else:
            self._settle(False)
        return replaced

    def stop(self) -> Deferred[None]:
        """Have everything in it drain and end; fires when nothing is left."""
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        if self.state in (State.STARTING, State.READY, State.BACKING_OFF):
            self._cancel_pause()
            self._move(Happening.STOP)
            for run in (self._successor, self._current):
                if run is not None:
                    run.drain()
            if self._successor is not None:
                self._leaving.append(self._successor)
                self._successor = None
            self._settle(False)
        self._tell_gone()
        return gone

    def tick(self) -> None:
        """To be called every :data:`TICK_S`."""
        for run in [self._current, self._successor, *self._leaving]:
            if run is not None and (why := run.tick()):
                log.error("worker {n} (process {pid}) is killed: {why}", n=self.number, pid=run.process.pid, why=why)
        if self.state is State.READY and self._current and self._lasted(self._current) >= STEADY_AFTER_S:
            self.failures = 0
        if self._replaced is not None:
            self._successor_ticks -= 1
            if self._successor_ticks < 0:
                self._give_up_successor()

    # -- what becomes of its processes --

    def first_ready(self, run: Run) -> None:
        """A process is ready for the first time."""
        if run.leaving:
            return
        if run is self._successor:
            predecessor, self._current, self._successor = self._current, run, None
            self._move(Happening.SUCCEEDED if self.state is State.READY else Happening.READY)
            if predecessor is not None:
                self._leaving.append(predecessor)
                predecessor.drain()
        else:
            self._move(Happening.READY)
        self._order = run.order
        log.info("worker {n} is ready: process {pid}", n=self.number, pid=run.process.pid)
        if self._successor is None:
            self._settle(True)

    def run_ended(self, run: Run, how: str, orderly: bool) -> None:
        """A process has ended, wanted or not."""
        if run in self._leaving:
            self._leaving.remove(run)
            log.info("worker {n}: process {pid} has left ({how})", n=self.number, pid=run.process.pid, how=how)
        elif run is self._successor:
            self._successor = None
            log.error("worker {n}: its replacement ended ({how})", n=self.number, how=how)
            self._settle(False)
        elif self.state is State.DRAINING:
            self._current = None
            self._move(Happening.ENDED)
        else:
            self._lost(run, how, orderly)
        self._tell_gone()

    def _lost(self, run: Run, how: str, orderly: bool) -> None:
        self._current = None
        log.error("worker {n} (process {pid}) ended: {how}", n=self.number, pid=run.process.pid, how=how)
        if self._successor is not None:
            self._current, self._successor = self._successor, None
            if self.state is State.READY:
                self._move(Happening.INHERITED)
            return
        # Whoever ended it in good order, with SIGTERM for instance, wants another one.
        self.failures = 0 if orderly and run.was_ready else self.failures + 1
        self._settle(False)
        self._back_off()

    def _back_off(self) -> None:
        self._move(Happening.ENDED)
        seconds = pause(self.failures, self._jitter()) if self.failures else 0.0
        if self.crash_looping:
            log.critical(
                "worker {n} has failed {times} times in a row; the next try is in {seconds:.1f} s",
                n=self.number,
                times=self.failures,
                seconds=seconds,
            )
        self._pause = self._clock.callLater(seconds, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._move(Happening.PAUSE_OVER)
        self.restarts += 1
        self._begin()

    def _begin(self, order: Order | None = None) -> None:
        self._current = self._try_spawn(order or self._order)
        if self._current is None:
            self.failures += 1
            self._settle(False)
            self._back_off()

    def _try_spawn(self, order: Order) -> Run | None:
        run = Run(self, order, self._clock.seconds())
        try:
            run.process = self._spawn(self.number, order, run)
        except OSError as error:
            log.error("worker {n} could not be started: {error}", n=self.number, error=str(error))
            return None
        return run

    def _give_up_successor(self) -> None:
        log.error("worker {n}: its replacement is not ready in time and is given up", n=self.number)
        if self._successor is not None:
            self._leaving.append(self._successor)
            self._successor.drain()
            self._successor = None
        elif self._current is not None:
            self._current.drain()
        self._settle(False)

    def _lasted(self, run: Run) -> float:
        return self._clock.seconds() - run.began

    def _settle(self, replaced: bool) -> None:
        """The replacement that is waited for, if there is one, has come about or not."""
        waiting, self._replaced = self._replaced, None
        if waiting is not None:
            waiting.callback(replaced)

    def _tell_gone(self) -> None:
        if self.state is State.GONE and not self._leaving:
            waiting, self._gone = self._gone, []
            for gone in waiting:
                gone.callback(None)

    def _cancel_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _move(self, happening: Happening) -> None:
        self.state = TABLE[self.state, happening]
