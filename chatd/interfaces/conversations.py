"""Conversations, and how people stand to them."""

from collections.abc import Awaitable, Sequence
from datetime import datetime

from zope.interface import Interface

from chatd.records.bus import Reach
from chatd.records.logs import Ack, Draft, Entry, Position
from chatd.records.reading import Confirmation, Listed, Mark, Moved, Read, Receipts
from chatd.records.rosters import (
    Conversation,
    ConversationKind,
    Enlisted,
    Group,
    Invitation,
    Membership,
    Roster,
    Standing,
)


class IConversationStore(Interface):
    """Conversations, their members, and how far each device has come."""

    def open(
        conversation: str, kind: ConversationKind, members: Sequence[str], notices: Sequence[Draft]
    ) -> Awaitable[list[Entry]]:
        """Create the conversation unless it is there, and put ``notices`` into the event queues that they name.

        A queue begins with the first notice in it; its reader is the notice's only audience. The entries made of the
        notices, in their order; none where the conversation was there before. What one worker puts into a queue is
        answered in the order of the queue's log: publish it before waiting for anything else.
        """

    def get(conversation: str) -> Awaitable[Conversation | None]:
        """One conversation."""

    def roster(conversation: str) -> Awaitable[Roster | None]:
        """Who may do what in a conversation."""

    def rosters(conversations: Sequence[str]) -> Awaitable[list[Roster]]:
        """Those of all of these that are there, in any order, at the cost of one read."""

    def membership(conversation: str, user: str) -> Awaitable[Membership | None]:
        """How one person stands to a conversation, or stood when they left.

        None for one of which its people were never told.
        """

    def positions(user: str, device: str) -> Awaitable[list[Position]]:
        """All logs of which a person may see anything, the latest first, with the cursors of one device."""

    def reaches(users: Sequence[str], seconds: float) -> Awaitable[list[Reach]]:
        """Of the logs of which these people may see anything, those that changed within the last ``seconds``."""

    def acknowledge(ack: Ack) -> Awaitable[bool]:
        """Move a device's cursor and its person's mark forward, never back. Whether the mark moved.

        Raises NotFound where the person is no member, Invalid where ``seq`` is beyond the log's end.
        """


class IReadingStore(Interface):
    """What a person has of their conversations: the list, what is unread, how far everybody has read.

    Everything that an answer holds was so at one moment.
    """

    def page(user: str, before: tuple[datetime, str] | None, limit: int, archived: bool) -> Awaitable[list[Listed]]:
        """Conversations that hold something, the latest first; those behind ``before`` (``last_at`` and id).

        Only archived ones, or only others. Event queues are not among them. Of two that changed at the same time, the
        greater id comes first.
        """

    def view(user: str, conversation: str) -> Awaitable[Listed | None]:
        """One conversation as a present member has it, whatever its kind; None for anybody else."""

    def marks(conversation: str) -> Awaitable[list[Mark]]:
        """How far each present member has come; members are always in the order of their code points."""

    def receipts(conversation: str, seq: int, author: str) -> Awaitable[Receipts]:
        """How many of the present members the message at ``seq`` was for, without its author, and how far it came."""

    def read(read: Read) -> Awaitable[Moved]:
        """Move a present member's marks forward, never back.

        Raises NotFound where the person is no member, Invalid where ``seq`` is beyond the log's end.
        """


class IGroupStore(Interface):
    """Groups and the people in and around them, always as they are now."""

    def group(conversation: str, user: str) -> Awaitable[Group | None]:
        """A group, and how ``user`` stands to it. None where there is no group."""

    def people(
        conversation: str, standing: Standing, after: str, now: datetime, limit: int
    ) -> Awaitable[list[Enlisted]]:
        """Those who stand to a group so, in the order of their code points, behind ``after``.

        Without those whose invitation has lapsed by ``now``.
        """

    def invitations(user: str, after: str | None, now: datetime, limit: int) -> Awaitable[list[Invitation]]:
        """What a person is invited to, by the group's id, behind ``after``; without what has lapsed or is deleted."""


class IAnnouncementStore(Interface):
    """Who has read what must be read. A confirmation is no change of a log."""

    def confirm(conversation: str, seq: int, user: str) -> Awaitable[bool]:
        """Note that a member has read it. Whether that is new.

        Raises NotFound unless there stands what must be read, and ``user`` is a member who sees it.
        """

    def confirmed(conversation: str, seq: int) -> Awaitable[int | None]:
        """How many have read it; None where nothing stands that must be read."""

    def confirmations(conversation: str, seq: int, after: str, limit: int) -> Awaitable[list[Confirmation]]:
        """Who has read it, in the order of their code points, behind ``after``."""
