"""Forwarding messages."""

from collections.abc import Awaitable

import msgspec

from chatd.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from chatd.handlers.caller import Caller
from chatd.handlers.kinds import Content, Reader
from chatd.handlers.messages import MessageContent, MessageCreated, Messages, Send, Sent
from chatd.handlers.opening import ConversationCreated
from chatd.handlers.seen import refusing, seen
from chatd.interfaces.log import ILogStore
from chatd.state.ids import direct
from chatd.wire.commands import Command, Route, command
from chatd.wire.types import ClientId, ConversationId, Place, UserId


class Forward(Command, frozen=True, kw_only=True, tag="message.forward"):
    """``conversation`` and ``seq`` are where the message stands.

    It goes ``to`` a person or ``into`` a conversation: one of the two.
    """

    client_id: ClientId
    conversation: ConversationId
    seq: Place
    to: UserId | None = None
    into: ConversationId | None = None


class Asked(Content, frozen=True, kw_only=True):
    """What a forward is known by when it is sent again: which message and where to, and not what it says by now."""

    source: str
    seq: int
    into: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken over: what a message says now, and who said it first."""

    text: str
    metadata: dict[str, str]
    author: str


def _place_key(caller: Caller, forward: Forward) -> str:
    """The conversation that it goes to, named either way."""
    return forward.into or direct(caller.user, forward.to or "")


class Forwarding:
    """The command ``message.forward``."""

    def __init__(self, messages: Messages, store: ILogStore, reader: Reader) -> None:
        self._messages = messages
        self._store = store
        self._reader = reader

    @command(
        Forward,
        reply=Sent,
        route=Route("POST", "/v1/conversations/{conversation}/messages/{seq}/forward"),
        errors=(Invalid, Forbidden, NotFound, Conflict, TooLarge),
        emits=(MessageCreated, ConversationCreated),
        ordered_by=_place_key,
        hands_on=True,
        example={"client_id": "c9", "seq": 1, "to": "bob"},
    )
    async def forward(self, caller: Caller, forward: Forward) -> Awaitable[Sent]:
        """Forward a message to a person or into a conversation.

        It becomes a new message of the caller's, with the text and metadata that the other has now, and with
        ``forwarded_from``, the one who said it first; of where and when that was nothing is told. What becomes of the
        other later does not touch it.
        """
        if (forward.to is None) is (forward.into is None):
            raise Invalid("Give one of `to` and `into`.")
        asked = Asked(source=forward.conversation, seq=forward.seq, into=_place_key(caller, forward))
        source = await self._source(caller.user, forward)
        if source is None:
            # Nothing is opened for what cannot be forwarded; a repeat finds its conversation.
            into = forward.into or direct(caller.user, str(forward.to))
            nothing = Send(id=forward.id, client_id=forward.client_id, text="", conversation=into)
            return await self._messages.post(caller, nothing, asked=asked, decide=refusing(NotFound()))
        send = Send(
            id=forward.id,
            client_id=forward.client_id,
            text=source.text,
            to=forward.to,
            conversation=forward.into,
            metadata=source.metadata,
        )
        return await self._messages.post(caller, send, forwarded_from=source.author, asked=asked)

    async def _source(self, user: str, forward: Forward) -> Source | None:
        """What the message says, if ``user`` sees it and it can be read."""
        message = await seen(self._store, user, forward.conversation, forward.seq)
        if message is None or message.entry.withheld:
            return None
        [content] = await self._reader.contents([message.edit or message.entry])
        if not isinstance(content, MessageContent):
            return None
        author = content.forwarded_from or message.entry.author
        return Source(text=content.text, metadata=content.metadata, author=author)
