"""Messages: sending them."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from chatd.handlers.access import Access, check_mentions, check_sees, check_unblocked
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, draft
from chatd.handlers.opening import ConversationCreated, Opening
from chatd.handlers.rights import check_posts
from chatd.interfaces.log import ILog
from chatd.records.logs import Appended, Entry
from chatd.records.rosters import Decide, Roster
from chatd.state.authors import Authors
from chatd.state.ids import direct, message_id
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import ClientId, ConversationId, Mentions, Metadata, Place, Seq, Text, UserId

MessageId = Annotated[str, Meta(description="A message, wherever it is named.")]
PageSize = Annotated[int, Meta(ge=1, le=500, description="How many at most.")]


class MessageContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """What is sealed of a message."""

    text: str
    metadata: dict[str, str] = {}
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    forwarded_from: str | None = None
    announcement: bool = False
    must_read: bool = False


class MessageCreated(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="message.created"):
    """A message was sent, perhaps in reply to another, or forwarded: then somebody else may have said it first.

    ``announcement``: an admin tells it everybody, whoever has muted the group included; with ``must_read`` each member
    is asked to confirm it. ``deleted`` where it has been deleted since, ``hidden`` where you have deleted it for
    yourself, ``unreadable`` where its text cannot be opened any more; then there is none.
    """

    message_id: MessageId
    sender: UserId
    text: str = ""
    metadata: Metadata = {}
    reply_to: Place | None = None
    mentions: Mentions = []
    forwarded_from: UserId | None = None
    announcement: bool = False
    must_read: bool = False
    deleted: bool = False
    hidden: bool = False
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
        reply_to=content.reply_to if content else None,
        mentions=list(content.mentions) if content else [],
        forwarded_from=content.forwarded_from if content else None,
        announcement=content.announcement if content else False,
        must_read=content.must_read if content else False,
        deleted=entry.erased,
        hidden=entry.hidden,
        unreadable=content is None and not entry.withheld,
    )


MESSAGE = Kind("message.created", MessageContent, _event)


class Send(Command, frozen=True, kw_only=True, tag="message.send"):
    """``to`` a person or into a ``conversation``: one of the two. ``reply_to``: where the message replied to stands."""

    client_id: ClientId
    text: Text
    to: UserId | None = None
    conversation: ConversationId | None = None
    metadata: Metadata = {}
    reply_to: Place | None = None
    mentions: Mentions = []


class Sent(Reply, frozen=True, kw_only=True):
    """The message is committed, at this place in this conversation."""

    message_id: MessageId
    conversation: ConversationId
    seq: Seq
    time: datetime


async def sent(committed: Awaitable[Appended]) -> Sent:
    """The reply, once the message is committed."""
    appended = await committed
    return Sent(
        message_id=message_id(appended.conversation, appended.seq),
        conversation=appended.conversation,
        seq=appended.seq,
        time=appended.time,
    )


def check_speaks(
    roster: Roster, user: str, at: datetime, reply_to: int | None = None, mentions: tuple[str, ...] = ()
) -> None:
    """Raise NotFound, Forbidden or Invalid unless ``user`` may say something here, in reply to that, to these."""
    check_sees(roster, user, reply_to)
    check_posts(roster, user, at)
    check_unblocked(roster)
    check_mentions(roster, mentions)
    if roster.kind == "queue":
        raise Forbidden("The event queue is written by the server alone.")


def _may_post(
    user: str, at: datetime, reply_to: int | None, mentions: tuple[str, ...], roster: Roster, seq: int
) -> Roster:
    """See :data:`~chatd.records.rosters.Decide`."""
    check_speaks(roster, user, at, reply_to, mentions)
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


class Messages:
    """The commands about messages."""

    def __init__(
        self,
        log: ILog,
        access: Access,
        opening: Opening,
        authors: Authors,
        now: Callable[[], datetime],
        *,
        sizes: Sizes,
    ) -> None:
        self._log = log
        self._access = access
        self._opening = opening
        self._authors = authors
        self._now = now
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
        return await self.post(caller, send)

    async def post(
        self,
        caller: Caller,
        send: Send,
        *,
        forwarded_from: str | None = None,
        asked: Content | None = None,
        decide: Decide | None = None,
    ) -> Awaitable[Sent]:
        """Send a message that may not be the caller's own words. ``decide`` stands for the rules of sending."""
        self._check(send)
        roster = await self._roster(caller, send)
        key = await self._authors.writing(caller.user)
        mentions = tuple(dict.fromkeys(send.mentions))
        content = MessageContent(
            text=send.text,
            metadata=send.metadata,
            reply_to=send.reply_to,
            mentions=mentions,
            forwarded_from=forwarded_from,
        )
        message = draft(
            MESSAGE,
            content,
            author=caller.user,
            client_id=send.client_id,
            key=key,
            roster=roster,
            asked=asked,
            decide=decide or partial(_may_post, caller.user, self._now(), send.reply_to, mentions),
            reply_to=send.reply_to,
            mentions=mentions,
        )
        return sent(self._log.append(message))

    def _check(self, send: Send) -> None:
        if (send.to is None) is (send.conversation is None):
            raise Invalid("Give one of `to` and `conversation`.")
        self._sizes.check(send.text, send.metadata)

    async def _roster(self, caller: Caller, send: Send) -> Roster:
        if send.to is not None:
            return await self._opening.direct(caller.user, send.to)
        return await self._access.roster(str(send.conversation), caller.user)
