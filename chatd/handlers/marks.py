"""Marks: how far a conversation has reached each member, and how far they have read."""

from typing import Any

import msgspec

from chatd.errors import Invalid, NotFound
from chatd.handlers.access import Access
from chatd.handlers.caller import Caller
from chatd.handlers.messages import PageSize
from chatd.handlers.seen import seen
from chatd.interfaces.bus import IBus
from chatd.interfaces.conversations import IConversationStore, IReadingStore
from chatd.interfaces.log import ILogStore
from chatd.interfaces.people import IRelations
from chatd.records.logs import Ack
from chatd.records.reading import Mark
from chatd.records.reading import Read as ReadMark
from chatd.state.directory import Directory
from chatd.wire.commands import Command, Done, Reply, Route, command
from chatd.wire.events import EphemeralEvent
from chatd.wire.types import ClientId, ConversationId, Place, Seq, UserId


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


class Read(Command, frozen=True, kw_only=True, tag="read"):
    """The caller has read the conversation up to and including ``seq``; ``private``: and does not let others know."""

    conversation: ConversationId
    seq: Seq
    private: bool = False
    client_id: ClientId | None = None


class ConversationRead(EphemeralEvent, frozen=True, kw_only=True, tag="conversation.read"):
    """A member has read up to ``seq``, and so has been reached as far."""

    conversation: ConversationId
    user: UserId
    seq: Seq


class GetReceipts(Command, frozen=True, kw_only=True, tag="message.receipts"):
    """``seq`` is where the message stands; ``after`` goes on behind a person."""

    conversation: ConversationId
    seq: Place
    after: UserId | None = None
    limit: PageSize = 100


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a message has reached a person, and whether they have read it and let others know."""

    user: UserId
    delivered: bool
    read: bool


class ReceiptPage(Reply, frozen=True, kw_only=True):
    """How many members a message was for, how many of them it has reached, and how many have read it.

    These are the present members without its author, and without those who joined later. ``people`` are they by name,
    nobody in a large group; ``more`` is false where there are no more behind the last one.
    """

    recipients: int
    delivered: int
    read: int
    people: list[Receipt]
    more: bool


class Marks:
    """The commands about marks. Nobody in a group of more than ``large_group`` members is told of another's."""

    def __init__(
        self,
        conversations: IConversationStore,
        reading: IReadingStore,
        log: ILogStore,
        directory: Directory,
        access: Access,
        relations: IRelations,
        bus: IBus,
        *,
        large_group: int,
    ) -> None:
        self._conversations = conversations
        self._reading = reading
        self._log = log
        self._directory = directory
        self._access = access
        self._relations = relations
        self._bus = bus
        self._large_group = large_group

    @command(
        Acknowledge,
        reply=Done,
        route=Route("POST", "/v1/conversations/{conversation}/ack"),
        counts_as="passing",
        errors=(Invalid, NotFound),
        emits=(ConversationDelivered,),
        example={"seq": 1},
    )
    async def acknowledge(self, caller: Caller, ack: Acknowledge) -> Done:
        """Acknowledge delivery, cumulatively, for the caller's device.

        Cursors only move forward: acknowledging less again changes nothing, so repeats need no ``client_id``; one is
        accepted for uniformity. The other members are told when any device of the caller has been reached further,
        unless the group is large.
        """
        await self._access.check_reader(ack.conversation, caller.user)
        moved = await self._conversations.acknowledge(
            Ack(user=caller.user, device=caller.device, conversation=ack.conversation, seq=ack.seq)
        )
        if moved and (others := await self._others(ack.conversation, caller.user)):
            event = ConversationDelivered(conversation=ack.conversation, user=caller.user, seq=ack.seq)
            self._bus.notify([caller.user, *others], event)
        return Done()

    @command(
        Read,
        reply=Done,
        route=Route("POST", "/v1/conversations/{conversation}/read"),
        counts_as="passing",
        errors=(Invalid, NotFound),
        emits=(ConversationRead, ConversationDelivered),
        example={"seq": 1},
    )
    async def read(self, caller: Caller, read: Read) -> Done:
        """Move the caller's read mark forward, never back; what was read counts as delivered too.

        It is one mark for all devices of the caller, which are told. So are the other members, unless the group is
        large, or the caller reads privately: then they are shown the last mark that was not private. No ``client_id``
        is needed; one is accepted for uniformity. The device's own cursor stays where it is: that is for ``ack``.
        """
        moved = await self._reading.read(
            ReadMark(user=caller.user, conversation=read.conversation, seq=read.seq, private=read.private)
        )
        place: dict[str, Any] = {"conversation": read.conversation, "user": caller.user, "seq": read.seq}
        others = await self._others(read.conversation, caller.user) if moved.shown or moved.delivered else []
        audience = ([caller.user] if moved.read else []) + (others if moved.shown else [])
        if audience:
            self._bus.notify(audience, ConversationRead(**place))
        if others and not moved.shown:
            self._bus.notify(others, ConversationDelivered(**place))
        return Done()

    async def _others(self, conversation: str, user: str) -> list[str]:
        """Whoever is to hear of a person's marks: nobody in a large group, across a block, or once they have left."""
        members = (await self._directory.roster(conversation)).members
        if user not in members or not 1 < len(members) <= self._large_group:
            return []
        apart = await self._relations.apart(user)
        return [member for member in members if member != user and member not in apart]

    @command(
        GetReceipts,
        reply=ReceiptPage,
        route=Route("GET", "/v1/conversations/{conversation}/messages/{seq}/receipts"),
        errors=(Invalid, NotFound),
        example={"seq": 1},
    )
    async def receipts(self, caller: Caller, ask: GetReceipts) -> ReceiptPage:
        """Read how many members a message has reached, and how many have read it; by name unless the group is large."""
        roster = await self._access.shared(ask.conversation, caller.user)
        message = await seen(self._log, caller.user, ask.conversation, ask.seq)
        if message is None:
            raise NotFound
        author = message.entry.author
        if len(roster.members) > self._large_group:
            counts = await self._reading.receipts(ask.conversation, ask.seq, author)
            return ReceiptPage(
                recipients=counts.recipients, delivered=counts.delivered, read=counts.read, people=[], more=False
            )
        marks = [
            mark for mark in await self._reading.marks(ask.conversation) if mark.user != author and mark.since < ask.seq
        ]
        apart = await self._relations.apart(caller.user)
        named = [_receipt(mark, ask.seq) for mark in marks if mark.user not in apart and mark.user > (ask.after or "")]
        return ReceiptPage(
            recipients=len(marks),
            delivered=sum(mark.delivered >= ask.seq for mark in marks),
            read=sum(mark.read >= ask.seq for mark in marks),
            people=named[: ask.limit],
            more=len(named) > ask.limit,
        )


def _receipt(mark: Mark, seq: int) -> Receipt:
    return Receipt(user=mark.user, delivered=mark.delivered >= seq, read=mark.read >= seq)
