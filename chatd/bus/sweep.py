"""A look at how far the logs have come, for what no bus has told of.

It is taken after the bus was away, when another worker fell silent, and now and then. It costs one indexed read for
some hundreds of people at a time, and finds only what changed of late.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from twisted.internet.defer import Deferred

from chatd.errors import ChatdError
from chatd.interfaces.conversations import IConversationStore
from chatd.state.shared import SharedHub

PEOPLE: Final = 200
"""How many people's logs one read looks at."""

PAUSE_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 1.0

MARGIN_SECONDS: Final = 120.0
"""How much further back than asked: a log's time is that of the change's beginning, and commits take their time."""


class Sweep:
    """Tells ``hub`` how far the logs of everybody who is connected have come, one read after the other.

    ``clock`` and ``pause`` are in seconds; ``failed`` is told of every unforeseen exception.
    """

    def __init__(
        self,
        hub: SharedHub,
        conversations: IConversationStore,
        *,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[object]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._hub = hub
        self._conversations = conversations
        self._clock = clock
        self._pause = pause
        self._failed = failed
        self._since: float | None = None
        self._busy = False
        self.taken = 0

    def look_back(self, seconds: float) -> None:
        """Look at everything that changed within the last ``seconds``, now or after the look that is being taken."""
        since = self._clock() - seconds - MARGIN_SECONDS
        self._since = since if self._since is None else min(since, self._since)
        if not self._busy:
            self._busy = True
            # Not lost: _run tells every failure.
            Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        try:
            while self._since is not None:
                since, self._since = self._since, None
                users = self._hub.users
                for first in range(0, len(users), PEOPLE):
                    await self._look(users[first : first + PEOPLE], since)
                self.taken += 1
        except Exception as unforeseen:
            # An edge: the next look goes as far back as the interval of looks.
            self._failed(unforeseen)
        finally:
            self._busy = False

    async def _look(self, users: list[str], since: float) -> None:
        while True:
            try:
                reaches = await self._conversations.reaches(users, self._clock() - since)
            except ChatdError:
                await self._pause(RETRY_SECONDS)
            else:
                self._hub.reached(reaches)
                await self._pause(PAUSE_SECONDS)
                return
