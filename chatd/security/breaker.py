"""Whether to ask a service that may be down: a circuit breaker.

========== ========================================= ================== ===========================
state      a call                                    one succeeded      one failed
========== ========================================= ================== ===========================
CLOSED     is made                                   CLOSED             OPEN at the limit in a row
OPEN       is refused; after the pause: HALF_OPEN,   CLOSED             OPEN
           and it is made, as the only one
HALF_OPEN  is refused: the one is under way          CLOSED             OPEN, with a longer pause
========== ========================================= ================== ===========================

A pause is twice as long as the one before it, within bounds; after a success it begins anew.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

LIMIT: Final = 5
"""Failures in a row that open it."""
FIRST_PAUSE: Final = 1.0
LAST_PAUSE: Final = 30.0
"""Seconds."""


class State(Enum):
    """What the breaker lets through."""

    CLOSED = auto()
    OPEN = auto()
    HALF_OPEN = auto()


class Breaker:
    """One service's. ``clock`` gives seconds. Each call that was admitted ends in ``succeeded`` or ``failed``."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._until = 0.0
        self.state = State.CLOSED

    @property
    def refusing(self) -> bool:
        """Whether a call would be refused now."""
        return self.state is State.HALF_OPEN or (self.state is State.OPEN and self._clock() < self._until)

    @property
    def retry_after(self) -> float:
        """Seconds until a call may be made, as far as can be told."""
        return max(0.0, self._until - self._clock()) if self.state is State.OPEN else 0.0

    def admit(self) -> bool:
        """Whether to make a call now."""
        if self.refusing:
            return False
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self.state, self._failures, self._pause = State.CLOSED, 0, FIRST_PAUSE

    def failed(self) -> None:
        """A call was not answered, or by nonsense."""
        self._failures += 1
        if self.state is State.HALF_OPEN:
            self._pause = min(2 * self._pause, LAST_PAUSE)
        elif self.state is State.OPEN or self._failures < LIMIT:
            return
        self.state, self._until = State.OPEN, self._clock() + self._pause
