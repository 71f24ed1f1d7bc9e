"""What becomes of messages after they were sent: edits, deletions and pins."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unchanged
from chatd.handlers.access import Access
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, NoContent, Reader, draft
from chatd.handlers.messages import MessageContent, MessageId, Sizes
from chatd.handlers.revising import Check, deleted, deletes_own, edited, may_alter, pinned, removed, unpinned
from chatd.handlers.rights import Action, check_may_in_group, check_posts
from chatd.handlers.seen import seen
from chatd.interfaces.log import ILog, ILogStore
from chatd.records.logs import Appended, Entry, MessageState, Revision
from chatd.state.authors import Authors
from chatd.state.ids import message_id
from chatd.wire.commands import Command, Reply, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import ClientId, ConversationId, Mentions, Metadata, Place, Seq, Text, UserId


class MessageEdited(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="message.edited"):
    """A message was edited: this is what it says now. Of a forwarded one, those are no longer another's words.

    ``deleted`` where it has been deleted since, ``hidden`` where you have deleted it for yourself.
    """

    message_id: MessageId
    sender: UserId
    text: str = ""
    metadata: Metadata = {}
    mentions: Mentions = []
    deleted: bool = False
    hidden: bool = False
    unreadable: bool = False


class MessageDeleted(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="message.deleted"):
    """A message was deleted for everyone: forget its text and all of its versions. Its place in the log stays."""

    message_id: MessageId
    by: UserId


class MessagePinned(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="message.pinned"):
    """A message was pinned."""

    message_id: MessageId
    by: UserId


class MessageUnpinned(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="message.unpinned"):
    """A message is no longer pinned."""

    message_id: MessageId
    by: UserId


def _edited_event(entry: Entry, content: MessageContent | None) -> LogEvent:
    return MessageEdited(
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        message_id=message_id(entry.conversation, entry.target or 0),
        sender=entry.author,
        text=content.text if content else "",
        metadata=content.metadata if content else {},
        mentions=list(content.mentions) if content else [],
        deleted=entry.erased,
        hidden=entry.hidden,
        unreadable=content is None and not entry.withheld,
    )


def _tells(
    event: type[MessageDeleted | MessagePinned | MessageUnpinned],
) -> Callable[[Entry, NoContent | None], LogEvent]:
    """How an entry without content is told: by an event that says who did it to which message."""

    def tell(entry: Entry, content: NoContent | None) -> LogEvent:
        return event(
            conversation=entry.conversation,
            seq=entry.seq,
            time=entry.time,
            message_id=message_id(entry.conversation, entry.target or 0),
            by=entry.author,
        )

    return tell


EDITED = Kind("message.edited", MessageContent, _edited_event)
DELETED = Kind("message.deleted", NoContent, _tells(MessageDeleted))
PINNED = Kind("message.pinned", NoContent, _tells(MessagePinned))
UNPINNED = Kind("message.unpinned", NoContent, _tells(MessageUnpinned))


class Edit(Command, frozen=True, kw_only=True, tag="message.edit"):
    """``seq`` is where the message stands; the other fields are all that it says from now on."""

    client_id: ClientId
    conversation: ConversationId
    seq: Place
    text: Text
    metadata: Metadata = {}
    mentions: Mentions = []


class Delete(Command, frozen=True, kw_only=True, tag="message.delete"):
    """``seq`` is where the message stands."""

    client_id: ClientId
    conversation: ConversationId
    seq: Place


class Pin(Command, frozen=True, kw_only=True, tag="message.pin"):
    """``seq`` is where the message stands."""

    client_id: ClientId
    conversation: ConversationId
    seq: Place


class Unpin(Command, frozen=True, kw_only=True, tag="message.unpin"):
    """``seq`` is where the message stands."""

    client_id: ClientId
    conversation: ConversationId
    seq: Place


class Changed(Reply, frozen=True, kw_only=True):
    """The change is committed, at this place of the log."""

    conversation: ConversationId
    seq: Seq
    time: datetime


async def changed(committed: Awaitable[Appended]) -> Changed:
    """The reply, once the change is committed."""
    appended = await committed
    return Changed(conversation=appended.conversation, seq=appended.seq, time=appended.time)


class Versions(Command, frozen=True, kw_only=True, tag="message.versions"):
    """``seq`` is where the message stands."""

    conversation: ConversationId
    seq: Place


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a message said from ``time`` on. ``seq`` is where that was said: at the message itself, or at an edit."""

    seq: Seq
    time: datetime
    text: str = ""
    metadata: Metadata = {}
    unreadable: bool = False


class VersionList(Reply, frozen=True, kw_only=True):
    """All that a message has said, the latest last; nothing of one that is deleted or hidden."""

    versions: list[Version]


Revising = Edit | Delete | Pin | Unpin


def _conversation(caller: Caller, ask: Revising) -> str:
    return ask.conversation


class Revisions:
    """The commands that change messages. ``edit_seconds`` and ``delete_seconds``: how old one may be, 0 for any age."""

    def __init__(
        self,
        log: ILog,
        store: ILogStore,
        access: Access,
        authors: Authors,
        reader: Reader,
        now: Callable[[], datetime],
        *,
        sizes: Sizes,
        edit_seconds: float,
        delete_seconds: float,
    ) -> None:
        self._log = log
        self._store = store
        self._access = access
        self._authors = authors
        self._reader = reader
        self._now = now
        self._sizes = sizes
        self._edit_seconds = edit_seconds
        self._delete_seconds = delete_seconds

    @command(
        Edit,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/edit"),
        errors=(Invalid, Forbidden, NotFound, Conflict, TooLarge),
        emits=(MessageEdited,),
        ordered_by=_conversation,
        hands_on=True,
        example={"client_id": "c2", "seq": 1, "text": "hello there"},
    )
    async def edit(self, caller: Caller, edit: Edit) -> Awaitable[Changed]:
        """Replace what a message of one's own says.

        In a group it takes the right to send messages there. Members may read its earlier versions. How long after
        sending a message may be edited is a setting of the server; without it there is no limit.
        """
        self._sizes.check(edit.text, edit.metadata)
        mentions = tuple(dict.fromkeys(edit.mentions))
        content = MessageContent(text=edit.text, metadata=edit.metadata, mentions=mentions)
        revise = partial(edited, caller.user, self._earliest(self._edit_seconds))
        return await self._revise(caller, edit, EDITED, content, revise, partial(check_posts, at=self._now()), mentions)

    @command(
        Delete,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/delete"),
        errors=(Invalid, Forbidden, NotFound, Conflict),
        emits=(MessageDeleted,),
        ordered_by=_conversation,
        hands_on=True,
        example={"client_id": "c3", "seq": 1},
    )
    async def delete(self, caller: Caller, delete: Delete) -> Awaitable[Changed]:
        """Delete a message of one's own, for everyone; in a group admins and owners may delete any.

        Its place in the log stays; what it said is overwritten, in all of its versions. How long after sending a
        message of one's own may be deleted is a setting of the server; without it there is no limit.
        """
        if await self._is_anothers(caller, delete):
            check = partial(check_may_in_group, Action.MODERATE)
            return await self._revise(caller, delete, DELETED, NoContent(), removed, check)
        revise = partial(deleted, caller.user, self._earliest(self._delete_seconds))
        return await self._revise(caller, delete, DELETED, NoContent(), revise, deletes_own)

    async def _is_anothers(self, caller: Caller, delete: Delete) -> bool:
        """Whether it is a message of somebody else's in a group. Who wrote a message never changes."""
        if (await self._access.roster(delete.conversation, caller.user)).kind != "group":
            return False
        found = await seen(self._store, caller.user, delete.conversation, delete.seq)
        return found is not None and found.entry.author != caller.user

    @command(
        Pin,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/pin"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(MessagePinned,),
        ordered_by=_conversation,
        hands_on=True,
        example={"client_id": "c4", "seq": 1},
    )
    async def pin(self, caller: Caller, pin: Pin) -> Awaitable[Changed]:
        """Pin a message, for everyone in the conversation.

        In a group it takes the role that its rule ``editing`` names.
        """
        check = partial(check_may_in_group, Action.PIN)
        return await self._revise(caller, pin, PINNED, NoContent(), pinned, check)

    @command(
        Unpin,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/unpin"),
        errors=(Invalid, Forbidden, NotFound, Conflict, Unchanged),
        emits=(MessageUnpinned,),
        ordered_by=_conversation,
        hands_on=True,
        example={"client_id": "c5", "seq": 1},
    )
    async def unpin(self, caller: Caller, unpin: Unpin) -> Awaitable[Changed]:
        """Take a pin away."""
        check = partial(check_may_in_group, Action.PIN)
        return await self._revise(caller, unpin, UNPINNED, NoContent(), unpinned, check)

    def _earliest(self, seconds: float) -> datetime | None:
        return self._now() - timedelta(seconds=seconds) if seconds else None

    async def _revise(
        self,
        caller: Caller,
        ask: Revising,
        kind: Kind,
        content: Content,
        revise: Callable[[MessageState, int], MessageState],
        check: Check,
        mentions: tuple[str, ...] = (),
    ) -> Awaitable[Changed]:
        roster = await self._access.roster(ask.conversation, caller.user)
        key = await self._authors.writing(caller.user)
        change = draft(
            kind,
            content,
            author=caller.user,
            client_id=ask.client_id,
            key=key,
            roster=roster,
            decide=partial(may_alter, caller.user, ask.seq, mentions, check),
            mentions=mentions,
            revision=Revision(target=ask.seq, revise=revise),
        )
        return changed(self._log.append(change))

    @command(
        Versions,
        reply=VersionList,
        route=Route("GET", "/v1/conversations/{conversation}/messages/{seq}/versions"),
        errors=(Invalid, NotFound),
        example={"seq": 1},
    )
    async def versions(self, caller: Caller, ask: Versions) -> VersionList:
        """Read what a message has said since it was sent."""
        message = await seen(self._store, caller.user, ask.conversation, ask.seq)
        if message is None:
            raise NotFound
        if message.entry.withheld:
            return VersionList(versions=[])
        # Whoever has left is shown the versions up to then, the last of which is theirs to see.
        edits = await self._store.edits(ask.conversation, ask.seq)
        latest = message.state.edited or 0
        entries = [message.entry, *(edit for edit in edits if edit.seq <= latest)]
        kept = [entry for entry in entries if not entry.erased]
        contents = await self._reader.contents(kept)
        return VersionList(versions=[_version(*one) for one in zip(kept, contents, strict=True)])


def _version(entry: Entry, content: Any) -> Version:
    return Version(
        seq=entry.seq,
        time=entry.time,
        text=content.text if content else "",
        metadata=content.metadata if content else {},
        unreadable=content is None,
    )
