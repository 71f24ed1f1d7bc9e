"""Reading messages as they are now: history, threads, and what is pinned."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final

import msgspec

from chatd.errors import Invalid, NotFound
from chatd.handlers.access import Access
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Reader
from chatd.handlers.messages import MessageContent, MessageId, PageSize
from chatd.handlers.tallies import ReactionCount, Tallies
from chatd.records.logs import KeptMessage, Page
from chatd.records.reactions import Tally
from chatd.state.ids import message_id
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.types import MAX_INTEGER, ConversationId, Mentions, Metadata, Place, Seq, UserId

NO_REACTIONS: Final[Mapping[int, list[ReactionCount]]] = MappingProxyType({})


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it is now. ``edited_at`` is when it was last edited; a ``deleted`` one says nothing any more.

    Nor does a ``hidden`` one, which you have deleted for yourself. ``thread`` is where the message stands that began
    the thread of a reply, ``forwarded_from`` who said first what was forwarded. ``announcement`` and ``must_read`` are
    as in ``message.created``.
    """

    message_id: MessageId
    conversation: ConversationId
    seq: Seq
    time: datetime
    sender: UserId
    text: str = ""
    metadata: Metadata = {}
    reply_to: Place | None = None
    thread: Place | None = None
    mentions: Mentions = []
    forwarded_from: UserId | None = None
    reactions: list[ReactionCount] = []
    announcement: bool = False
    must_read: bool = False
    pinned: bool = False
    edited_at: datetime | None = None
    deleted: bool = False
    hidden: bool = False
    unreadable: bool = False


class GetHistory(Command, frozen=True, kw_only=True, tag="history.get"):
    """At most one of ``before``, ``after`` and ``around``; without any of them, the latest messages."""

    conversation: ConversationId
    before: Seq | None = None
    after: Seq | None = None
    around: Seq | None = None
    limit: PageSize = 50


class HistoryPage(Reply, frozen=True, kw_only=True):
    """Messages by ``seq``, the oldest first. ``older`` and ``newer`` are false where nothing lies beyond that end."""

    messages: list[Message]
    older: bool
    newer: bool


class Thread(Command, frozen=True, kw_only=True, tag="thread.get"):
    """``seq`` is where the message stands that began the thread; ``after`` goes on behind a reply."""

    conversation: ConversationId
    seq: Place
    after: Seq = 0
    limit: PageSize = 50


class Pins(Command, frozen=True, kw_only=True, tag="pin.list"):
    """``after`` goes on behind a message."""

    conversation: ConversationId
    after: Seq = 0
    limit: PageSize = 50


class MessageList(Reply, frozen=True, kw_only=True):
    """Messages by ``seq``, the oldest first. ``newer`` is false where there are no more."""

    messages: list[Message]
    newer: bool


class _Part(msgspec.Struct, frozen=True):
    """Some messages at one end of a page, the reactions to them, and whether there are more beyond."""

    messages: list[KeptMessage]
    tallies: list[Tally]
    more: bool


def _one_page_at_a_time(caller: Caller, ask: GetHistory | Thread | Pins) -> str:
    """Each takes a connection of the pool and up to some megabytes: one connection reads a conversation in turn."""
    return f"history {ask.conversation}"


class History:
    """The commands that read messages."""

    def __init__(self, access: Access, reader: Reader, tallies: Tallies) -> None:
        self._access = access
        self._reader = reader
        self._tallies = tallies

    @command(
        GetHistory,
        reply=HistoryPage,
        route=Route("GET", "/v1/conversations/{conversation}/history"),
        errors=(Invalid, NotFound),
        ordered_by=_one_page_at_a_time,
        example={"limit": 20},
    )
    async def get(self, caller: Caller, ask: GetHistory) -> HistoryPage:
        """Read messages as they are now, page by page.

        Before, after or around a ``seq``; the one named by ``around`` is part of the page. Each page costs the same,
        however long the conversation.
        """
        if sum(end is not None for end in (ask.before, ask.after, ask.around)) > 1:
            raise Invalid("Give at most one of `before`, `after` and `around`.")
        await self._access.check_reader(ask.conversation, caller.user)
        read = partial(self._read, caller, ask.conversation)
        if ask.around is not None:
            half = ask.limit // 2
            older = await read(0, ask.around, half, newest=True)
            newer = await read(ask.around - 1, MAX_INTEGER, ask.limit - half, newest=False)
            return await self._page(older, newer, older=older.more, newer=newer.more)
        if ask.after is not None:
            newer = await read(ask.after, MAX_INTEGER, ask.limit, newest=False)
            return await self._page(newer, older=ask.after > 0, newer=newer.more)
        older = await read(0, MAX_INTEGER if ask.before is None else ask.before, ask.limit, newest=True)
        return await self._page(older, older=older.more, newer=ask.before is not None)

    async def _read(self, caller: Caller, conversation: str, low: int, high: int, limit: int, *, newest: bool) -> _Part:
        """At most ``limit`` messages, and whether there are more."""
        page = Page(conversation=conversation, reader=caller.user, low=low, high=high, limit=limit + 1, newest=newest)
        found, tallies = await self._tallies.page(page)
        kept = found[len(found) - limit :] if newest and len(found) > limit else found[:limit]
        return _Part(messages=kept, tallies=tallies, more=len(found) > limit)

    async def _page(self, *parts: _Part, older: bool, newer: bool) -> HistoryPage:
        messages = [kept for part in parts for kept in part.messages]
        tallies = [tally for part in parts for tally in part.tallies]
        return HistoryPage(messages=await self._opened(messages, tallies), older=older, newer=newer)

    async def _opened(self, messages: Sequence[KeptMessage], tallies: Sequence[Tally]) -> list[Message]:
        return await messages_now(self._reader, messages, await self._tallies.shown(tallies))

    @command(
        Thread,
        reply=MessageList,
        route=Route("GET", "/v1/conversations/{conversation}/messages/{seq}/thread"),
        errors=(Invalid, NotFound),
        ordered_by=_one_page_at_a_time,
        example={"seq": 1},
    )
    async def thread(self, caller: Caller, ask: Thread) -> MessageList:
        """Read the replies to a message, and the replies to those."""
        await self._access.check_reader(ask.conversation, caller.user)
        return await self._list(caller, ask, thread=ask.seq)

    @command(
        Pins,
        reply=MessageList,
        route=Route("GET", "/v1/conversations/{conversation}/pins"),
        errors=(Invalid, NotFound),
        ordered_by=_one_page_at_a_time,
    )
    async def pins(self, caller: Caller, ask: Pins) -> MessageList:
        """Read what is pinned."""
        await self._access.check_reader(ask.conversation, caller.user)
        return await self._list(caller, ask, pinned=True)

    async def _list(
        self, caller: Caller, ask: Thread | Pins, *, thread: int | None = None, pinned: bool = False
    ) -> MessageList:
        page = Page(
            conversation=ask.conversation,
            reader=caller.user,
            low=ask.after,
            high=MAX_INTEGER,
            limit=ask.limit + 1,
            newest=False,
            thread=thread,
            pinned=pinned,
        )
        found, tallies = await self._tallies.page(page)
        return MessageList(messages=await self._opened(found[: ask.limit], tallies), newer=len(found) > ask.limit)


async def messages_now(
    reader: Reader, found: Sequence[KeptMessage], reactions: Mapping[int, list[ReactionCount]] = NO_REACTIONS
) -> list[Message]:
    """These messages, opened, as they are now. ``reactions`` by ``seq``, where all are of one conversation."""
    edits = [kept.edit for kept in found if kept.edit is not None]
    contents = await reader.contents([*(kept.entry for kept in found), *edits])
    edited = dict(zip([(edit.conversation, edit.seq) for edit in edits], contents[len(found) :], strict=True))
    return [
        _message(
            kept,
            first,
            first if kept.edit is None else edited[kept.edit.conversation, kept.edit.seq],
            reactions.get(kept.entry.seq, []),
        )
        for kept, first in zip(found, contents, strict=False)
    ]


def _message(
    kept: KeptMessage,
    first: MessageContent | None,
    content: MessageContent | None,
    reactions: list[ReactionCount],
) -> Message:
    """``first`` is what was sent, ``content`` what it says now; an edit does not change what it replies to."""
    entry = kept.entry
    return Message(
        message_id=message_id(entry.conversation, entry.seq),
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        sender=entry.author,
        text=content.text if content else "",
        metadata=content.metadata if content else {},
        reply_to=first.reply_to if first else None,
        thread=kept.state.thread,
        mentions=list(content.mentions) if content else [],
        forwarded_from=content.forwarded_from if content else None,
        reactions=reactions,
        announcement=first.announcement if first else False,
        must_read=first.must_read if first else False,
        pinned=kept.state.pinned is not None,
        edited_at=None if kept.edit is None else kept.edit.time,
        deleted=entry.erased,
        hidden=entry.hidden,
        unreadable=content is None and not entry.withheld,
    )
