"""Deleting messages for oneself: they stay as they are for everybody else."""

from collections.abc import Awaitable

import msgspec

from chatd.errors import ChatdError, Conflict, Invalid, NotFound, Unchanged
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Kind, draft
from chatd.handlers.messages import MessageId
from chatd.handlers.revisions import Changed, changed
from chatd.handlers.seen import refusing, seen
from chatd.interfaces.log import ILog, ILogStore
from chatd.records.logs import Entry
from chatd.records.personal import Hiding
from chatd.records.rosters import unrestricted
from chatd.state.authors import Authors
from chatd.state.ids import event_queue, message_id
from chatd.state.queues import queue_roster
from chatd.wire.commands import Command, Route, command
from chatd.wire.events import LogEvent
from chatd.wire.types import ClientId, ConversationId, Place


class HiddenContent(Content, frozen=True, kw_only=True, omit_defaults=True):
    """Which message."""

    conversation: str
    seq: int


class MessagePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message stands."""

    conversation: ConversationId
    seq: Place


class MessageHidden(LogEvent, frozen=True, kw_only=True, omit_defaults=True, tag="message.hidden"):
    """You have deleted a message for yourself, perhaps on another device: forget its text and all of its versions.

    It stands in your event queue, whose log ``conversation`` is. ``message`` is the message, which stands in another;
    it is absent, with its id, where the entry is ``unreadable``.
    """

    message_id: MessageId | None = None
    message: MessagePlace | None = None
    unreadable: bool = False


def _event(entry: Entry, content: HiddenContent | None) -> LogEvent:
    return MessageHidden(
        conversation=entry.conversation,
        seq=entry.seq,
        time=entry.time,
        message_id=message_id(content.conversation, content.seq) if content else None,
        message=MessagePlace(conversation=content.conversation, seq=content.seq) if content else None,
        unreadable=content is None,
    )


HIDDEN = Kind("message.hidden", HiddenContent, _event)


class Hide(Command, frozen=True, kw_only=True, tag="message.hide"):
    """``seq`` is where the message stands."""

    client_id: ClientId
    conversation: ConversationId
    seq: Place


class Hidden:
    """The command ``message.hide``."""

    def __init__(self, log: ILog, store: ILogStore, authors: Authors) -> None:
        self._log = log
        self._store = store
        self._authors = authors

    @command(
        Hide,
        reply=Changed,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/hide"),
        errors=(Invalid, NotFound, Conflict, Unchanged),
        emits=(MessageHidden,),
        ordered_by=lambda caller, ask: event_queue(caller.user),
        hands_on=True,
        example={"client_id": "c8", "seq": 1},
    )
    async def hide(self, caller: Caller, ask: Hide) -> Awaitable[Changed]:
        """Delete a message for oneself, whoever sent it.

        It keeps its place and is shown without its text, as are its edits: in history, threads and pins, and to all
        devices of this person that catch up. Everybody else sees it as before. It cannot be undone. The reply and the
        event stand in the caller's event queue.
        """
        refusal = await self._refusal(caller.user, ask)
        key = await self._authors.writing(caller.user)
        change = draft(
            HIDDEN,
            HiddenContent(conversation=ask.conversation, seq=ask.seq),
            author=caller.user,
            client_id=ask.client_id,
            key=key,
            roster=queue_roster(caller.user),
            decide=refusing(refusal) if refusal else unrestricted,
            begins=refusal is None,
            effects=(Hiding(conversation=ask.conversation, seq=ask.seq),),
        )
        return changed(self._log.append(change))

    async def _refusal(self, user: str, ask: Hide) -> ChatdError | None:
        """What is read stays true: messages do not go away, and what was hidden is not shown again."""
        message = await seen(self._store, user, ask.conversation, ask.seq)
        if message is None:
            return NotFound()
        return Unchanged() if message.entry.hidden else None
