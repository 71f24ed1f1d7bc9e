"""What one connection has been sent of each log, and what becomes of the next event.

========= ==================================================================================================
phase     an event of a log that arrives
========= ==================================================================================================
IDLE      is not for this connection, which has not asked for any (no ``sync`` yet)
GATHERING is held: the positions of all logs are being read, and nobody knows yet whether it is new
LIVE      is sent, unless its conversation is *behind* or *stale*
ENDED     is for nobody: the connection has gone, and what goes on being read for it may stop
========= ==================================================================================================

A conversation is **behind** while the log is read for it: what arrives meanwhile is held, and released by ``seq``
when the reading has come that far. Holding begins before reading, so there is no gap; what was read is not released
again, so there is no repeat. It is **stale** when the peer did not read and there was no room for its events: it is
told so once, and gets none until it asks to ``sync`` from its cursor.

A change may be read from the log a moment before it arrives here from the log writer. The **floor** of a conversation
is the ``seq`` up to which that may happen; what arrives at or below it has been sent.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Generic

from chatd.records.logs import Cursor
from chatd.state.outbox import Frame, Outbox
from chatd.wire.events import ConversationStale, Event, Form, LogEvent, Outgoing

HELD_EVENTS = 512
"""How many events of one conversation are held while its log is read. Beyond, they are read from the log too."""


class Phase(Enum):
    """Where a connection's delivery stands."""

    IDLE = auto()
    GATHERING = auto()
    LIVE = auto()
    ENDED = auto()


class _Held:
    """Events of one conversation that wait for the log to be read up to them."""

    __slots__ = ("events", "overflowed")

    def __init__(self) -> None:
        self.events: list[Outgoing[LogEvent]] = []
        self.overflowed = False

    def hold(self, outgoing: Outgoing[LogEvent]) -> None:
        if len(self.events) < HELD_EVENTS:
            self.events.append(outgoing)
        else:
            self.overflowed = True

    def after(self, seq: int) -> list[Outgoing[LogEvent]] | None:
        """What follows ``seq`` without a hole, or None where the log has to be read further."""
        following = sorted((held for held in self.events if held.event.seq > seq), key=lambda held: held.event.seq)
        expected = range(seq + 1, seq + 1 + len(following))
        if self.overflowed or any(held.event.seq != n for held, n in zip(following, expected, strict=True)):
            self.events, self.overflowed = [], False
            return None
        return following


class Start(Cursor, frozen=True, kw_only=True, gc=False):
    """Where a conversation begins for this connection. ``last_seq`` is its log's end when that was read.

    ``recent``, ``since`` and ``present`` are as in the :class:`~chatd.records.logs.Position`.
    """

    last_seq: int
    recent: bool
    since: int = 0
    present: bool = True


class Delivery(Generic[Frame]):
    """The events of one connection.

    One sync at a time: ``gather`` (or ``fall_behind``, once LIVE), then ``settle``, then ``read`` and ``level`` until
    nothing is behind; ``interrupted`` where that cannot be done. Any of these may ``end`` the delivery at once, if the
    outbox overflows; then the others do nothing.
    """

    __slots__ = ("_behind", "_floors", "_form", "_gathered", "_outbox", "_stale", "phase")

    def __init__(self, outbox: Outbox[Frame], form: Form[Frame]) -> None:
        self._outbox = outbox
        self._form = form
        self._gathered: dict[str, _Held] | None = None
        self._behind: dict[str, _Held] | None = None
        self._floors: dict[str, int] | None = None
        self._stale: set[str] | None = None
        self.phase = Phase.IDLE

    @property
    def paused(self) -> bool:
        """Whether the peer does not read at present."""
        return self._outbox.paused

    def offer(self, outgoing: Outgoing[LogEvent]) -> None:
        """A change was committed that this connection's user may see."""
        if self.phase is Phase.IDLE or self.phase is Phase.ENDED:
            return
        conversation = outgoing.event.conversation
        if self._behind and (held := self._behind.get(conversation)) is not None:
            held.hold(outgoing)
        elif self.phase is Phase.GATHERING:
            self._gather(conversation).hold(outgoing)
        elif self._stale and conversation in self._stale:
            return
        elif self._floors is None or not self._was_read(conversation, outgoing.event.seq):
            self._send(outgoing)

    def notice(self, outgoing: Outgoing[Event]) -> None:
        """Something passing happened."""
        if self.phase is not Phase.IDLE and self.phase is not Phase.ENDED:
            self._outbox.ephemeral(outgoing.encoded(self._form))

    def _gather(self, conversation: str) -> _Held:
        if self._gathered is None:
            self._gathered = {}
        return self._gathered.setdefault(conversation, _Held())

    def _was_read(self, conversation: str, seq: int) -> bool:
        floors = self._floors or {}
        if seq <= floors.get(conversation, 0):
            return True
        floors.pop(conversation, None)
        return False

    def _send(self, outgoing: Outgoing[LogEvent]) -> bool:
        if self._outbox.event(outgoing.encoded(self._form)):
            return True
        self._mark_stale(outgoing.event.conversation)
        return False

    def _mark_stale(self, conversation: str) -> None:
        if self._stale is None:
            self._stale = set()
        if conversation not in self._stale:
            self._stale.add(conversation)
            self._outbox.reply(self._form.encode(ConversationStale(conversation=conversation)))

    def gather(self) -> None:
        """Hold everything from now on: the positions of all logs are about to be read."""
        if self.phase is not Phase.ENDED:
            self._forget_all()
            self.phase = Phase.GATHERING

    def fall_behind(self, conversations: Iterable[str]) -> None:
        """Hold the events of these from now on: the positions of their logs are about to be read. Only when LIVE."""
        if self.phase is Phase.ENDED:
            return
        self._behind = {conversation: _Held() for conversation in conversations}
        for conversation in self._behind:
            if self._stale is not None:
                self._stale.discard(conversation)
            if self._floors is not None:
                self._floors.pop(conversation, None)

    def settle(self, starts: Sequence[Start]) -> list[Cursor]:
        """The positions are known. What is level goes live; the cursors of what has to be read from the log."""
        if self.phase is Phase.ENDED:
            return []
        waiting = (self._gathered or {}) | (self._behind or {})
        self._gathered = self._behind = None
        self.phase = Phase.LIVE
        behind: list[Cursor] = []
        for start in starts:
            held = waiting.pop(start.conversation, None) or _Held()
            if start.seq < start.last_seq or not self._release(start.conversation, start.seq, held, start.recent):
                behind.append(self._keep(start.conversation, start.seq, held))
        # What had no position then has begun since, at the start of its log; or nothing has come, and nothing stays.
        for conversation, held in waiting.items():
            if not self._release(conversation, 0, held, False):
                behind.append(self._keep(conversation, 0, held))
        return behind

    def _keep(self, conversation: str, seq: int, held: _Held) -> Cursor:
        if self._behind is None:
            self._behind = {}
        self._behind[conversation] = held
        return Cursor(conversation=conversation, seq=seq)

    def is_behind(self, conversation: str) -> bool:
        """Whether the log is still to be read for this conversation."""
        return self._behind is not None and conversation in self._behind

    def read(self, *run: LogEvent) -> bool:
        """Send events of one conversation, one behind the other, that were read from the log.

        False, and none of them is sent, where it is no longer behind, or is stale now.
        """
        conversation = run[0].conversation
        if not self.is_behind(conversation):
            return False
        # For this connection alone, so they are encoded once anyway, and written at once.
        if self._outbox.event(self._form.encode(*run)):
            return True
        self._mark_stale(conversation)
        self._forget(conversation)
        return False

    def level(self, cursor: Cursor) -> bool:
        """The log was read to its end, at ``cursor``: go live, or False where it must be read on from there."""
        held = self._behind.get(cursor.conversation) if self._behind else None
        if held is None:
            return True
        if not self._release(cursor.conversation, cursor.seq, held, True):
            return False
        self._forget(cursor.conversation)
        return True

    def _forget(self, conversation: str) -> None:
        if self._behind is not None:
            self._behind.pop(conversation, None)
            if not self._behind:
                self._behind = None

    def _release(self, conversation: str, seq: int, held: _Held, recent: bool) -> bool:
        following = held.after(seq)
        if following is None:
            return False
        if recent:
            if self._floors is None:
                self._floors = {}
            self._floors[conversation] = seq + len(following)
        for outgoing in following:
            if not self._send(outgoing):
                break
        return True

    def lost(self, conversation: str) -> None:
        """The log may hold what was never offered here. What is being read is read to its end anyway."""
        if self.phase is Phase.GATHERING:
            self._gather(conversation).overflowed = True
        elif self._behind and (held := self._behind.get(conversation)) is not None:
            held.overflowed = True
        elif self.phase is Phase.LIVE:
            self._mark_stale(conversation)

    def interrupted(self) -> None:
        """The log could not be read on: what is behind gets no events until it is synced again."""
        if self.phase is Phase.GATHERING:
            self.phase, self._gathered = Phase.IDLE, None
        behind, self._behind = self._behind or {}, None
        for conversation in behind:
            self._mark_stale(conversation)

    def end(self) -> None:
        """The connection has gone: there is no way back from here."""
        self._forget_all()
        self.phase = Phase.ENDED

    def _forget_all(self) -> None:
        self._gathered = self._behind = self._floors = self._stale = None
