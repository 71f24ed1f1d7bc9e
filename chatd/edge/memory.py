"""What a worker does as its memory runs short: it parts with those who hold the most of it, and lets nobody new in.

================================ ======================================== ====================================
resident memory, once a second   connections                              new sockets
================================ ======================================== ====================================
falls below 80 % of the bound    kept                                     admitted
stays below 90 %                 kept                                     refused, if they were before
reaches 90 %                     the largest are dropped, until what they refused
                                 held makes up for the excess
reaches the bound                the same, be they ever so small          refused
================================ ======================================== ====================================

Each connection's buffers are bounded, but all of them together only by how many connections there are. Whoever is
dropped comes back and resumes from the log; a process that the kernel kills for its memory takes everybody along.
"""

# Twisted's LoopingCall is not annotated.
# mypy: allow-untyped-calls

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

log = Logger()

LOOK_SECONDS: Final = 1.0
HIGH: Final = 0.9
LOW: Final = 0.8
NOTABLE_BYTES: Final = 65_536
"""Who holds less is not dropped as long as it can be helped: that many clients are many is no fault of theirs."""


class Holder(Protocol):
    """A connection, as far as it costs memory."""

    @property
    def held_bytes(self) -> int:
        """What it holds of what was not sent yet, or has not arrived whole."""

    def drop(self) -> None:
        """End it now, with all that it holds."""


class MemoryWatch:
    """Keeps the process below ``bound`` bytes; 0 for none.

    ``resident`` says how many there are, after ``release`` has given back to the system what is free. ``holders`` are
    the connections.
    """

    def __init__(
        self,
        bound: int,
        resident: Callable[[], int],
        release: Callable[[], object],
        holders: Callable[[], Iterable[Holder]],
        clock: IReactorTime,
    ) -> None:
        self._bound = bound
        self._resident = resident
        self._release = release
        self._holders = holders
        self._looking = LoopingCall(self.look)
        self._looking.clock = clock
        self.short = False
        self.dropped = 0

    def start(self) -> None:
        """Begin to look."""
        if self._bound:
            self._looking.start(LOOK_SECONDS).addErrback(self._defect)

    def stop(self) -> None:
        """Look no more."""
        if self._looking.running:
            self._looking.stop()

    def look(self) -> None:
        """See how much there is, and do what the table says."""
        if self.short:
            # What was dropped is free, and the allocator would keep it.
            self._release()
        resident = self._resident()
        if resident >= HIGH * self._bound:
            self._note(True, resident)
            self._drop(resident - HIGH * self._bound, NOTABLE_BYTES if resident < self._bound else 1)
        elif resident < LOW * self._bound:
            self._note(False, resident)

    def _note(self, short: bool, resident: int) -> None:
        if short is self.short:
            return
        self.short = short
        if short:
            log.error(
                "memory is short, {resident} of {bound} bytes: new sockets are refused",
                resident=resident,
                bound=self._bound,
            )
        else:
            log.info("memory is no longer short: new sockets are admitted", resident=resident)

    def _drop(self, excess: float, least: int) -> None:
        freed = 0
        largest = sorted(((one.held_bytes, one) for one in self._holders()), key=lambda pair: pair[0], reverse=True)
        for held, holder in largest:
            if held < least or freed > excess:
                break
            freed += held
            self.dropped += 1
            holder.drop()

    def _defect(self, failure: Failure) -> None:
        log.failure("memory is no longer watched", failure)
        # Nobody would let anybody in again.
        self.short = False
