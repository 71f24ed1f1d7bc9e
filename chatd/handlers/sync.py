"""Resuming: from whatever a client has to everything there is, without a gap and without a repeat."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby, islice
from operator import attrgetter
from typing import Annotated, Any, Literal

from msgspec import Meta

from chatd.errors import Invalid, ServerError
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import EntryUnknown, Reader
from chatd.handlers.messages import PageSize
from chatd.interfaces.conversations import IConversationStore
from chatd.interfaces.log import ILogStore
from chatd.records.logs import Cursor, Entry, Position
from chatd.state.delivery import Delivery, Phase, Start
from chatd.state.hub import Hub
from chatd.state.ids import event_queue
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import ConversationStale, LogEvent
from chatd.wire.types import ConversationId, EpochName, Seq

READ_EVENTS = 250
"""Entries read from the log at once; one connection holds no more than two such pages in memory."""

WRITE_EVENTS = 32
"""Events written at once, before a peer is heard that does not read."""

MAX_CURSORS = 4_000
"""Cursors in one ``sync``; so many fit into a message of the default size. Beyond, the server's own serve."""

READ_LOGS = 200
"""Conversations that one read looks into."""


class Sync(Command, frozen=True, kw_only=True, tag="sync"):
    """Show how far you have come.

    A conversation that is not among the ``cursors`` begins where this device last acknowledged, or at the start of
    its log. With ``scope`` ``named`` only the conversations among the ``cursors`` are looked at; on a WebSocket
    that takes a ``sync`` of ``all`` before it. ``epoch`` is the one that the cursors are of, as the reply to your last
    ``sync`` told it, and not what ``hello`` tells now; where it is over, none of them is used and all are ``reset``.
    """

    cursors: Annotated[
        dict[ConversationId, Seq],
        Meta(max_length=MAX_CURSORS, description="By conversation, the `seq` up to which you have everything."),
    ] = {}
    epoch: EpochName | None = None
    scope: Literal["all", "named"] = "all"
    limit: Annotated[PageSize, Meta(description="Over HTTP: how many events at most.")] = 100


class Synced(Reply, frozen=True, kw_only=True):
    """Over WebSocket the missed events have been delivered before this, and what follows is live.

    Over HTTP they stand in ``events``; with ``more``, acknowledge or show their cursors and ask again. Conversations
    in ``reset`` were shown with a cursor that is none of their log, or of another epoch, or lies before you last
    joined, or are none of yours: forget what you have of them and read their history anew. ``epoch`` is the one that
    your cursors are of from now on: keep it beside them.
    """

    events: list[LogEvent]
    more: bool
    reset: list[ConversationId]
    epoch: EpochName


class Resuming:
    """The command ``sync``. ``epoch`` is the one that is served."""

    def __init__(
        self,
        log: ILogStore,
        conversations: IConversationStore,
        reader: Reader,
        hub: Hub,
        epoch: Callable[[], str],
    ) -> None:
        self._log = log
        self._conversations = conversations
        self._reader = reader
        self._hub = hub
        self._epoch = epoch

    @command(
        Sync,
        reply=Synced,
        route=Route("POST", "/v1/sync"),
        counts_as="read",
        cost=2,
        errors=(Invalid,),
        emits=(ConversationStale, EntryUnknown),
        ordered_by=lambda caller, sync: "sync",
        example={"cursors": {}},
    )
    async def sync(self, caller: Caller, sync: Sync) -> Synced:
        """Get everything that was missed, once and in order, and go on live.

        On a WebSocket nothing is delivered before the first ``sync``. If one fails, nothing is delivered of what it
        was about: ask again. What had been delivered by then is not lost, show its cursors.
        """
        if caller.delivery is None:
            return await self._page(caller, sync)
        return await self._stream(caller, caller.delivery, sync)

    async def _page(self, caller: Caller, sync: Sync) -> Synced:
        starts, reset = await self._starts(caller, sync)
        behind = [Cursor(conversation=s.conversation, seq=s.seq) for s in starts if s.seq < s.last_seq]
        # Each of them holds at least one event, so no more than these come into the page.
        entries = await self._log.entries(caller.user, behind[: sync.limit + 1], sync.limit + 1) if behind else []
        events = await self._reader.events(entries[: sync.limit])
        return Synced(events=events, more=len(entries) > sync.limit, reset=reset, epoch=self._epoch())

    async def _starts(self, caller: Caller, sync: Sync) -> tuple[list[Start], list[str]]:
        positions = await self._conversations.positions(caller.user, caller.device)
        own = {position.conversation for position in positions}
        cursors = self._cursors(sync)
        if cursors.get(queue := event_queue(caller.user)) == 0:
            # It comes into being with the first thing in it; until then this is where it stands.
            own.add(queue)
        reset = [
            conversation for conversation in sync.cursors if conversation not in own or conversation not in cursors
        ]
        if sync.scope == "named":
            positions = [position for position in positions if position.conversation in sync.cursors]
        starts = []
        for position in positions:
            seq = cursors.get(position.conversation, position.acknowledged or 0)
            shown = seq if position.conversation in cursors else 0
            if seq > position.last_seq or 0 < shown < position.since:
                reset.append(position.conversation)
            starts.append(_start(position, min(max(seq, position.since), position.last_seq)))
        return starts, reset

    def _cursors(self, sync: Sync) -> Mapping[str, int]:
        """Those that mean something. Of another epoch none does: at the same seq may stand something else by now.

        What was acknowledged went back with the logs, and is a cursor of theirs.
        """
        return sync.cursors if sync.epoch is None or sync.epoch == self._epoch() else {}

    async def _stream(self, caller: Caller, delivery: Delivery[Any], sync: Sync) -> Synced:
        """Hold what arrives, read the log, release what was held."""
        if sync.scope == "all":
            delivery.gather()
        elif delivery.phase is Phase.IDLE:
            # The others would go live from wherever they stand, whatever this client has of them.
            raise Invalid("Before a `sync` of `named`, one of `all` must have succeeded on this connection.")
        else:
            delivery.fall_behind(sync.cursors)
        self._hub.begin(caller.user, delivery)
        done = False
        try:
            starts, reset = await self._starts(caller, sync)
            await self._catch_up(caller, delivery, self._hub.settle(caller.user, delivery, starts))
            done = True
        finally:
            if not done:
                self._hub.interrupt(delivery)
        return Synced(events=[], more=False, reset=reset, epoch=self._epoch())

    async def _catch_up(self, caller: Caller, delivery: Delivery[Any], behind: list[Cursor]) -> None:
        waiting = deque(behind)
        ahead = self._read_on(caller, delivery, waiting)
        try:
            while ahead is not None and delivery.phase is Phase.LIVE:
                (cursors, page), ahead = ahead, None
                entries = await page
                waiting.extendleft(reversed(_unread(cursors, entries)))
                # While these are delivered the database reads the next.
                ahead = self._read_on(caller, delivery, waiting)
                waiting.extend(await self._deliver(caller, delivery, cursors, entries))
                ahead = ahead or self._read_on(caller, delivery, waiting)
        finally:
            if ahead is not None:
                # Nobody wants it any more, nor to hear that it could not be read.
                with suppress(ServerError):
                    await ahead[1]

    def _read_on(
        self, caller: Caller, delivery: Delivery[Any], waiting: deque[Cursor]
    ) -> tuple[list[Cursor], Awaitable[list[Entry]]] | None:
        """Have the next page of these logs read; its cursors are taken from those that wait."""
        cursors: list[Cursor] = []
        while waiting and len(cursors) < READ_LOGS:
            cursor = waiting.popleft()
            if delivery.is_behind(cursor.conversation):
                cursors.append(cursor)
        return (cursors, self._log.entries(caller.user, cursors, READ_EVENTS)) if cursors else None

    async def _deliver(
        self, caller: Caller, delivery: Delivery[Any], cursors: Sequence[Cursor], entries: Sequence[Entry]
    ) -> list[Cursor]:
        """Send what was read; the cursors of logs that were read to their end and yet have to be read on."""
        reached = {cursor.conversation: cursor.seq for cursor in cursors}
        for run in _runs(await self._reader.events(entries)):
            if delivery.paused:
                await caller.drained()
            if delivery.read(*run):
                reached[run[-1].conversation] = run[-1].seq
        for unread in _unread(cursors, entries):
            del reached[unread.conversation]
        ends = (Cursor(conversation=conversation, seq=seq) for conversation, seq in reached.items())
        return [end for end in ends if not delivery.level(end)]


def _start(position: Position, seq: int) -> Start:
    return Start(
        conversation=position.conversation,
        seq=seq,
        last_seq=position.last_seq,
        recent=position.recent,
        since=position.since,
        present=position.present,
    )


def _runs(events: Sequence[LogEvent]) -> Iterator[list[LogEvent]]:
    """What may be written at once: so many events of one log."""
    for _, log in groupby(events, attrgetter("conversation")):
        while run := list(islice(log, WRITE_EVENTS)):
            yield run


def _unread(cursors: Sequence[Cursor], entries: Sequence[Entry]) -> list[Cursor]:
    """From where the logs are to be read on that a page may not have reached the end of."""
    if len(entries) < READ_EVENTS:
        return []
    last = entries[-1]
    order = [cursor.conversation for cursor in cursors]
    return [Cursor(conversation=last.conversation, seq=last.seq), *cursors[order.index(last.conversation) + 1 :]]
