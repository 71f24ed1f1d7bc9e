"""Conversations: which there are, who is in them, and how far each person has been reached."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.errors import Invalid, NotFound
from chatd.handlers.caller import Caller
from chatd.handlers.messages import PageSize
from chatd.interfaces import IBus, IConversationStore, IRelations
from chatd.records import Ack, ConversationKind
from chatd.state.directory import Directory
from chatd.wire.commands import Command, Done, Reply, Route, command
from chatd.wire.events import EphemeralEvent
from chatd.wire.types import ClientId, ConversationId, Seq, UserId

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

PageCursor = Annotated[
    str,
    Meta(
        max_length=128, pattern="^[A-Za-z0-9_-]*$(?!\\n)", description="Where the last page ended, as its `next` said."
    ),
]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """``delivered``: how far the log has reached any device of theirs."""

    user: UserId
    delivered: Seq


class Get(Command, frozen=True, kw_only=True, tag="conversation.get"):
    """One conversation."""

    conversation: ConversationId


class ConversationInfo(Reply, frozen=True, kw_only=True):
    """A conversation and its members. ``last_at`` is when its log last changed."""

    conversation: ConversationId
    kind: ConversationKind
    members: list[Member]
    last_seq: Seq
    created_at: datetime
    last_at: datetime


class List(Command, frozen=True, kw_only=True, tag="conversation.list"):
    """A page of the caller's conversations; ``cursor`` goes on where another page ended."""

    cursor: PageCursor | None = None
    limit: PageSize = 50


class ListedConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation in the list. ``delivered``: how far its log has reached any device of the caller's."""

    conversation: ConversationId
    kind: ConversationKind
    members: list[UserId]
    last_seq: Seq
    last_at: datetime
    delivered: Seq


class ConversationPage(Reply, frozen=True, kw_only=True):
    """The latest first. ``next`` is the cursor of the next page, null on the last one."""

    conversations: list[ListedConversation]
    next: str | None


class Acknowledge(Command, frozen=True, kw_only=True, tag="ack"):
    """This device has everything of the conversation's log up to and including ``seq``."""

    conversation: ConversationId
    seq: Seq
    client_id: ClientId | None = None


class ConversationDelivered(EphemeralEvent, frozen=True, kw_only=True, tag="conversation.delivered"):
    """A member's devices have been reached up to ``seq``."""

    conversation: ConversationId
    user: UserId
    seq: Seq


class Conversations:
    """The commands about conversations as a whole."""

    def __init__(self, store: IConversationStore, directory: Directory, bus: IBus, relations: IRelations) -> None:
        self._store = store
        self._directory = directory
        self._bus = bus
        self._relations = relations

    @command(
        Get,
        reply=ConversationInfo,
        route=Route("GET", "/v1/conversations/{conversation}"),
        errors=(Invalid, NotFound),
    )
    async def get(self, caller: Caller, ask: Get) -> ConversationInfo:
        """Describe one of the caller's conversations."""
        await self._directory.shared(ask.conversation, caller.user)
        found = await self._store.get(ask.conversation)
        if found is None:
            raise NotFound
        marks = await self._store.marks(ask.conversation)
        return ConversationInfo(
            conversation=found.conversation,
            kind=found.kind,
            members=[Member(user=mark.user, delivered=mark.seq) for mark in marks],
            last_seq=found.last_seq,
            created_at=found.created_at,
            last_at=found.last_at,
        )

    @command(
        List,
        reply=ConversationPage,
        route=Route("GET", "/v1/conversations"),
        errors=(Invalid,),
    )
    async def list(self, caller: Caller, ask: List) -> ConversationPage:
        """List the caller's conversations in which anything was said, the latest first."""
        before = None if ask.cursor is None else _parsed(ask.cursor)
        found = await self._store.page(caller.user, before, ask.limit + 1)
        page = found[: ask.limit]
        last = page[-1].conversation if len(found) > ask.limit else None
        return ConversationPage(
            conversations=[
                ListedConversation(
                    conversation=listed.conversation.conversation,
                    kind=listed.conversation.kind,
                    members=[*listed.conversation.members],
                    last_seq=listed.conversation.last_seq,
                    last_at=listed.conversation.last_at,
                    delivered=listed.delivered,
                )
                for listed in page
            ],
            next=None if last is None else _cursor(last.last_at, last.conversation),
        )

    @command(
        Acknowledge,
        reply=Done,
        route=Route("POST", "/v1/conversations/{conversation}/ack"),
        errors=(Invalid, NotFound),
        emits=(ConversationDelivered,),
        example={"seq": 1},
    )
    async def acknowledge(self, caller: Caller, ack: Acknowledge) -> Done:
        """Acknowledge delivery, cumulatively, for the caller's device.

        Cursors only move forward: acknowledging less again changes nothing, so repeats need no ``client_id``; one is
        accepted for uniformity. The other members are told when any device of the caller has been reached further,
        but for those whom a block keeps apart.
        """
        await self._directory.check_reader(ack.conversation, caller.user)
        moved = await self._store.acknowledge(
            Ack(user=caller.user, device=caller.device, conversation=ack.conversation, seq=ack.seq)
        )
        if moved:
            members = (await self._directory.roster(ack.conversation)).members.keys()
            apart = await self._relations.apart(caller.user) if len(members) > 1 else frozenset[str]()
            told = members - apart if apart else members
            if len(told) > 1:
                self._bus.notify(
                    told, ConversationDelivered(conversation=ack.conversation, user=caller.user, seq=ack.seq)
                )
        return Done()


def _cursor(last_at: datetime, conversation: str) -> str:
    micros = (last_at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(f"{micros}.{conversation}".encode()).decode().rstrip("=")


def _parsed(cursor: str) -> tuple[datetime, str]:
    try:
        micros, _, conversation = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(".")
        return _EPOCH + timedelta(microseconds=int(micros)), msgspec.convert(conversation, ConversationId)
    except (binascii.Error, UnicodeError, ValueError, OverflowError):
        raise Invalid("`cursor` is none that a page of this list ended with.") from None
