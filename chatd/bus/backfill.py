"""What did not come in its turn is read from the log: once for all connections of a worker.

One read at a time, of many logs together, and not at once: what overtook another change on its way is most often
followed by it within milliseconds.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from twisted.internet.defer import Deferred

from chatd.errors import ChatdError
from chatd.handlers.kinds import Reader
from chatd.interfaces.conversations import IConversationStore
from chatd.interfaces.log import ILogStore
from chatd.records.bus import Tail
from chatd.records.rosters import Roster
from chatd.state.directory import Directory
from chatd.state.shared import Gap, SharedHub

READ_LOGS: Final = 200
READ_ENTRIES: Final = 1_000

PAUSE_SECONDS: Final = 0.02
"""How long what is missing is waited for before it is read."""

RETRY_SECONDS: Final = 1.0


class Backfill:
    """Reads what ``hub`` misses, for as long as it misses anything.

    ``pause`` waits so many seconds. ``failed`` is told of every unforeseen exception; the logs concerned are then read
    by each connection for itself.
    """

    def __init__(
        self,
        hub: SharedHub,
        log: ILogStore,
        conversations: IConversationStore,
        directory: Directory,
        reader: Reader,
        *,
        pause: Callable[[float], Awaitable[object]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._hub = hub
        self._log = log
        self._conversations = conversations
        self._directory = directory
        self._reader = reader
        self._pause = pause
        self._failed = failed
        self._busy = False
        self.reads = 0
        hub.wake = self._wake

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            # Not lost: _run tells every failure.
            Deferred.fromCoroutine(self._run())

    async def _run(self) -> None:
        wait = PAUSE_SECONDS
        while True:
            await self._pause(wait)
            gaps = self._hub.gaps(READ_LOGS)
            if not gaps:
                break
            wait = await self._read(gaps)
        self._busy = False

    async def _read(self, gaps: Sequence[Gap]) -> float:
        """Fill what can be filled; how long to wait before the next read.

        However many logs there are, all of them take as many statements as one.
        """
        self.reads += 1
        try:
            tails = {tail.conversation: tail for tail in await self._log.tails(gaps, READ_ENTRIES)}
            contents = iter(await self._reader.contents([entry for tail in tails.values() for entry in tail.entries]))
            opened = {conversation: [next(contents) for _ in tail.entries] for conversation, tail in tails.items()}
            rosters = await self._rosters(tails.values())
            for gap in gaps:
                conversation = gap.conversation
                self._hub.fill(gap, tails.get(conversation), opened.get(conversation, ()), rosters.get(conversation))
        except ChatdError:
            return RETRY_SECONDS
        except Exception as unforeseen:
            # An edge: whatever it was, nobody may go on as if nothing was missing.
            self._failed(unforeseen)
            for gap in gaps:
                self._hub.give_up(gap)
        return PAUSE_SECONDS

    async def _rosters(self, tails: Iterable[Tail]) -> dict[str, Roster]:
        """By conversation, none of them older than what was read."""
        found: dict[str, Roster] = {}
        missing: list[str] = []
        for tail in tails:
            roster = self._directory.known(tail.conversation)
            if roster is None or roster.access < tail.access:
                missing.append(tail.conversation)
            else:
                found[tail.conversation] = roster
        for roster in await self._conversations.rosters(missing) if missing else ():
            self._directory.learn(roster)
            found[roster.conversation] = roster
        return found
