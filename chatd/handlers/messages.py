"""Messages: sending them and reading them back."""

from collections.abc import Awaitable
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, Reader, draft
from chatd.handlers.opening import ConversationCreated, Opening
from chatd.interfaces import ILog, ILogStore
from chatd.records import Appended, Entry, KeptMessage, Page, Roster
from chatd.state.authors import Authors
from chatd.state.directory import Directory
from chatd.state.ids import direct, message_id
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import MAX_INTEGER, ClientId, ConversationId, Metadata, Seq, Text, UserId

MessageId = Annotated[str, Meta(description="A message, wherever it is named.")]
PageSize = Annotated[int, Meta(ge=1, le=500, description="How many at most.")]


class MessageContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of a message."""

    text: str
    metadata: dict[str, str] = {}


class MessageCreated(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="message.created"):
    """A message was sent. ``deleted`` where it has been deleted since, ``unreadable`` where its text cannot be opened
    any more; then there is none.
    """

    message_id: MessageId
    sender: UserId
    text: str = ""
    metadata: Metadata = {}
    deleted: bool = False
    unreadable: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it is now. ``edited_at`` is when it was last edited; a ``deleted`` one says nothing any more."""

    message_id: MessageId
    conversation: ConversationId
    seq: Seq
    time: datetime
    sender: UserId
    text: str = ""
    metadata: Metadata = {}
    edited_at: datetime | None = None
    deleted: bool = False
    unreadable: bool = False


def _event(entry: Entry, content: MessageContent | None) -> LogEvent:
    return MessageCreated(
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        message_id=message_id(entry.conversation, entry.seq),
        sender=entry.author,
        text=content.text if content else "",
        metadata=content.metadata if content else {},
        deleted=entry.erased,
        unreadable=content is None and not entry.erased,
    )


MESSAGE = Kind("message.created", MessageContent, _event)


class Send(Command, frozen=True, kw_only=True, tag="message.send"):
    """``to`` a person or into a ``conversation``: one of the two."""

    client_id: ClientId
    text: Text
    to: UserId | None = None
    conversation: ConversationId | None = None
    metadata: Metadata = {}


class Sent(Reply, frozen=True, kw_only=True):
    """The message is committed, at this place in this conversation."""

    message_id: MessageId
    conversation: ConversationId
    seq: Seq
    time: datetime


class History(Command, frozen=True, kw_only=True, tag="history.get"):
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


def _may_post(user: str, roster: Roster, seq: int) -> Roster:
    """See :data:`~chatd.records.Decide`."""
    if user not in roster.members:
        raise NotFound
    if roster.kind == "queue":
        raise Forbidden("The event queue is written by the server alone.")
    return roster


def _place_key(caller: Caller, send: Send) -> str:
    """The conversation that a message goes to, named either way."""
    return send.conversation or direct(caller.user, send.to or "")


class Sizes(msgspec.Struct, frozen=True):
    """How much a message may say."""

    text_chars: int
    metadata_bytes: int

    def check(self, text: str, metadata: dict[str, str]) -> None:
        """Raise TooLarge where that is more."""
        if len(text) > self.text_chars:
            raise TooLarge(f"`text` has {len(text)} characters; the limit is {self.text_chars}.")
        if metadata:
            size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
            if size > self.metadata_bytes:
                raise TooLarge(f"`metadata` has {size} bytes; the limit is {self.metadata_bytes}.")


class _Part(msgspec.Struct, frozen=True):
    """Some messages at one end of a page, and whether there are more beyond."""

    messages: list[KeptMessage]
    more: bool


class Messages:
    """The commands about messages."""

    def __init__(
        self,
        log: ILog,
        store: ILogStore,
        directory: Directory,
        opening: Opening,
        authors: Authors,
        reader: Reader,
        *,
        sizes: Sizes,
    ) -> None:
        self._log = log
        self._store = store
        self._directory = directory
        self._opening = opening
        self._authors = authors
        self._reader = reader
        self._sizes = sizes

    @command(
        Send,
        reply=Sent,
        route=Route("POST", "/v1/messages"),
        errors=(Invalid, Forbidden, NotFound, Conflict, TooLarge),
        emits=(MessageCreated, ConversationCreated),
        ordered_by=_place_key,
        hands_on=True,
        example={"client_id": "c1", "to": "bob", "text": "hello"},
    )
    async def send(self, caller: Caller, send: Send) -> Awaitable[Sent]:
        """Send a message to a person or into a conversation.

        The reply comes when the message is committed. What one connection sends into one conversation is stored in
        the order sent, however many commands are under way. Sent again with its ``client_id``, from any device and at
        any time, it gets the first reply.
        """
        self._check(send)
        roster = await self._roster(caller, send)
        key = self._authors.known(caller.user) or await self._authors.writing(caller.user)
        content = MessageContent(text=send.text, metadata=send.metadata)
        return self._sent(
            self._log.append(
                draft(
                    MESSAGE,
                    content,
                    conversation=roster.conversation,
                    author=caller.user,
                    client_id=send.client_id,
                    key=key,
                    roster=roster,
                    decide=partial(_may_post, caller.user),
                )
            )
        )

    def _check(self, send: Send) -> None:
        if (send.to is None) is (send.conversation is None):
            raise Invalid("Give one of `to` and `conversation`.")
        self._sizes.check(send.text, send.metadata)

    async def _roster(self, caller: Caller, send: Send) -> Roster:
        if send.to is not None:
            return await self._opening.direct(caller.user, send.to)
        return await self._directory.roster(str(send.conversation))

    async def _sent(self, committed: Awaitable[Appended]) -> Sent:
        appended = await committed
        return Sent(
            message_id=message_id(appended.conversation, appended.seq),
            conversation=appended.conversation,
            seq=appended.seq,
            time=appended.time,
        )

    @command(
        History,
        reply=HistoryPage,
        route=Route("GET", "/v1/conversations/{conversation}/history"),
        errors=(Invalid, NotFound),
        example={"limit": 20},
    )
    async def history(self, caller: Caller, ask: History) -> HistoryPage:
        """Read messages as they are now, page by page.

        Before, after or around a ``seq``; the one named by ``around`` is part of the page. Each page costs the same,
        however long the conversation.
        """
        if sum(end is not None for end in (ask.before, ask.after, ask.around)) > 1:
            raise Invalid("Give at most one of `before`, `after` and `around`.")
        await self._directory.check_reader(ask.conversation, caller.user)
        read = partial(self._read, caller, ask.conversation)
        if ask.around is not None:
            half = ask.limit // 2
            older = await read(0, ask.around, half, newest=True)
            newer = await read(ask.around - 1, MAX_INTEGER, ask.limit - half, newest=False)
            return await self._page(older.messages + newer.messages, older=older.more, newer=newer.more)
        if ask.after is not None:
            newer = await read(ask.after, MAX_INTEGER, ask.limit, newest=False)
            return await self._page(newer.messages, older=ask.after > 0, newer=newer.more)
        older = await read(0, MAX_INTEGER if ask.before is None else ask.before, ask.limit, newest=True)
        return await self._page(older.messages, older=older.more, newer=ask.before is not None)

    async def _read(self, caller: Caller, conversation: str, low: int, high: int, limit: int, *, newest: bool) -> _Part:
        """At most ``limit`` messages, and whether there are more."""
        page = Page(conversation=conversation, reader=caller.user, low=low, high=high, limit=limit + 1, newest=newest)
        found = await self._store.messages(page)
        kept = found[len(found) - limit :] if newest and len(found) > limit else found[:limit]
        return _Part(messages=kept, more=len(found) > limit)

    async def _page(self, found: list[KeptMessage], *, older: bool, newer: bool) -> HistoryPage:
        contents = await self._reader.contents([kept.edit or kept.entry for kept in found])
        messages = [_message(kept, content) for kept, content in zip(found, contents, strict=True)]
        return HistoryPage(messages=messages, older=older, newer=newer)


def _message(kept: KeptMessage, content: MessageContent | None) -> Message:
    entry = kept.entry
    return Message(
        message_id=message_id(entry.conversation, entry.seq),
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        sender=entry.author,
        text=content.text if content else "",
        metadata=content.metadata if content else {},
        edited_at=None if kept.edit is None else kept.edit.time,
        deleted=entry.erased,
        unreadable=content is None and not entry.erased,
    )
