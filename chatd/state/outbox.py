"""What one connection still has to be sent, within bounds.

While the peer reads, frames pass straight through. When it stops, they wait here, and the promise that nothing
vanishes silently (P6) is kept in stages: passing notices are dropped first; then events of the log are refused, so
that their conversations are marked stale; when even the replies no longer fit, the connection is closed with a code
that says "resume".
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """One encoded frame, or several that go together. ``size`` is their bytes on the wire."""

    @property
    def size(self) -> int: ...


Frame = TypeVar("Frame", bound=Sized)


class Outbox(Generic[Frame]):
    """Frames on their way out. ``write`` takes a frame now.

    ``overflow`` is called once, when a reply does not fit: a frame is lost then, so the connection has to be closed,
    and the outbox takes no more.
    """

    __slots__ = (
        "_drained",
        "_event_bytes",
        "_gone",
        "_overflow",
        "_queue",
        "_total_bytes",
        "_write",
        "paused",
        "waiting_bytes",
    )

    def __init__(
        self,
        write: Callable[[Frame], None],
        overflow: Callable[[], None],
        *,
        event_bytes: int,
        total_bytes: int,
    ) -> None:
        self._write = write
        self._overflow = overflow
        self._event_bytes = event_bytes
        self._total_bytes = total_bytes
        self._queue: deque[Frame] | None = None
        self._drained: tuple[Callable[[], None], ...] = ()
        self._gone = False
        self.waiting_bytes = 0
        self.paused = False

    def reply(self, frame: Frame) -> None:
        """Send what must not be lost while the connection lives."""
        if not self.paused:
            self._write(frame)
        elif self.waiting_bytes + frame.size <= self._total_bytes:
            self._keep(frame)
        else:
            self._overflow()
            self.discard()

    def event(self, frame: Frame) -> bool:
        """Send an event of the log; False where there is no room for it and it was not taken."""
        if not self.paused:
            self._write(frame)
        elif self.waiting_bytes + frame.size > self._event_bytes:
            return False
        else:
            self._keep(frame)
        return True

    def ephemeral(self, frame: Frame) -> None:
        """Send a passing notice, or drop it."""
        if not self.paused:
            self._write(frame)

    def _keep(self, frame: Frame) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(frame)
        self.waiting_bytes += frame.size

    def pause(self) -> None:
        """The peer does not read: keep what comes."""
        self.paused = not self._gone

    def resume(self) -> None:
        """The peer reads again: send what was kept, until it pauses anew."""
        self.paused = False
        while self._queue and not self.paused:
            frame = self._queue.popleft()
            self.waiting_bytes -= frame.size
            self._write(frame)
        if not self.paused:
            self._queue = None
            self._wake()

    def when_drained(self, call: Callable[[], None]) -> None:
        """Call back when the peer reads and nothing waits: now, if that is so. Also called by :meth:`discard`."""
        if self.paused:
            self._drained = (*self._drained, call)
        else:
            call()

    def discard(self) -> None:
        """The connection has gone: forget everything, and what still comes."""
        self._gone = True
        self._queue = None
        self.waiting_bytes = 0
        self.paused = False
        self._write = _nowhere
        self._wake()

    def _wake(self) -> None:
        waiting, self._drained = self._drained, ()
        for call in waiting:
            call()


def _nowhere(frame: Sized) -> None:
    """Where frames go that nobody reads any more."""
