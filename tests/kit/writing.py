"""A log writer with a bus that remembers, and a log that fails when told to."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from twisted.internet.defer import Deferred

from chatd.bus.local import LocalBus
from chatd.errors import ChatdError, OutcomeUnknown, Unavailable
from chatd.interfaces.log import ILogStore
from chatd.records.logs import Appended, Draft, Publication
from chatd.state.directory import Directory
from chatd.store.memory.conversations import MemoryConversations
from chatd.store.memory.database import MemoryDatabase
from chatd.store.memory.log import MemoryLog
from chatd.store.writer import LogWriter

LOST = "done, but the reply is lost"
VANISHED = "never done, and the reply is lost"
Fault = Exception | str | Deferred[None] | Callable[[], Awaitable[object]] | None


class Writing:
    """A log writer, what it published, and what it did not foresee."""

    def __init__(self, log: ILogStore, *, max_waiting: int = 10_000) -> None:
        self.published: list[Publication] = []
        self.unforeseen: list[BaseException] = []
        self.bus = LocalBus()
        self.bus.subscribe(self.published.extend, lambda *_: None, lambda *_: None)
        self.directory = Directory(MemoryConversations(MemoryDatabase(lambda: datetime.now(UTC))))
        self.writer = LogWriter(log, self.bus, self.directory, max_waiting=max_waiting, failed=self.unforeseen.append)

    def append(self, *drafts: Draft) -> list[Deferred[Appended]]:
        """Hand drafts to the writer, one after the other."""
        return [self.writer.append(draft) for draft in drafts]

    @property
    def news(self) -> list[tuple[str, int, bool]]:
        """What was published, in its order: the text, where it stands, and whether that is doubtful."""
        return [(one.entry.sealed.decode(), one.entry.seq, one.doubtful) for one in self.published]


class FaultyLog(MemoryLog):
    """The log in memory with faults, the next one first, each used up by one call of ``append``.

    A fault is an error that is raised instead; LOST or VANISHED; a Deferred that is waited for first; or something
    that is called first. While ``away``, nothing can be looked up. ``asked`` are the sizes of all questions so far,
    those of ``repeats`` negative. ``change`` has faults of its own, of which LOST is the only one.
    """

    def __init__(
        self, now: Callable[[], datetime], *conversations: str, database: MemoryDatabase | None = None
    ) -> None:
        database = database or MemoryDatabase(now)
        super().__init__(database)
        for conversation in conversations:
            database.create(conversation, "direct", ("alice", "bob"))
        self.faults: list[Fault] = []
        self.change_faults: list[str] = []
        self.away = False
        self.asked: list[int] = []

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Appended | None]:
        self.asked.append(len(drafts))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, Exception):
            raise fault
        if isinstance(fault, Deferred):
            await fault
        elif callable(fault):
            await fault()
        elif fault == VANISHED:
            raise OutcomeUnknown
        verdicts = await super().append(drafts)
        if fault == LOST:
            raise OutcomeUnknown
        return verdicts

    async def change(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError]:
        verdicts = await super().change(drafts)
        if self.change_faults and self.change_faults.pop(0) == LOST:
            raise OutcomeUnknown
        return verdicts

    async def repeats(self, drafts: Sequence[Draft]) -> Sequence[Appended | ChatdError | None]:
        self.asked.append(-len(drafts))
        if self.away:
            raise Unavailable
        return await super().repeats(drafts)

    def elsewhere(self, *drafts: Draft) -> Callable[[], Awaitable[object]]:
        """A fault: another worker commits these first."""
        return lambda: MemoryLog.append(self, drafts)
