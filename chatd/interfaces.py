"""The seams. Those of the store have a memory twin; both are held to one contract suite in ``tests/contract``.

Whatever asks these may be told :exc:`~chatd.errors.Unavailable`, :exc:`~chatd.errors.Overloaded` or
:exc:`~chatd.errors.OutcomeUnknown`: the first two mean that nothing was changed.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime

from zope.interface import Interface

from chatd.devices import Device, Revocation, Sighting
from chatd.errors import ChatdError
from chatd.records import (
    Ack,
    Appended,
    Claims,
    Conversation,
    ConversationKind,
    Cursor,
    Delivered,
    Draft,
    Entry,
    KeptMessage,
    Listed,
    Membership,
    Page,
    Position,
    Publication,
    Roster,
    Signal,
    WrappedKey,
)
from chatd.wire.events import EphemeralEvent


class ITokenVerifier(Interface):
    """Tells who a token speaks for. Asked for each connection, renewal or HTTP request."""

    def verify(token: str, device: str) -> Awaitable[Claims]:
        """What the token says that ``device`` shows; raises :exc:`~chatd.errors.Unauthorized`.

        That tells no more than that the token does not hold, or that it would but has expired or was revoked.
        """


class ITokenReader(Interface):
    """Tells whose a token is that somebody else has shown."""

    def recognise(token: str) -> Awaitable[Claims]:
        """What a token says that was once taken, also if it has expired or was revoked here since.

        Raises :exc:`~chatd.errors.Unauthorized` for what its issuer did not sign, or no longer stands by.
        """


class ILog(Interface):
    """The way into the log. Calls for one conversation are numbered in the order in which they are made."""

    def append(draft: Draft) -> Awaitable[Appended]:
        """Where the change stands, once it is committed; the same again for a repeat.

        Raises :exc:`~chatd.errors.Conflict` where its ``client_id`` stands for other content.
        """


class ILogStore(Interface):
    """The log as it is kept.

    Both ways of writing number and store their drafts in one transaction, in their order; no two drafts share an
    author's ``client_id``. They raise an error where the transaction as a whole failed, so that nothing was changed:
    :exc:`~chatd.store.refusals.Repeated` where a ``client_id`` was used before, and
    :exc:`~chatd.store.refusals.Refused` where one of the drafts cannot be stored, now or ever.
    """

    def append(drafts: Sequence[Draft]) -> Awaitable[Sequence[Appended | None]]:
        """Store plain messages, which is most of what is written, in one round trip.

        None is the answer to those whose rights have changed since, to which there is no conversation or no message
        to reply to, and that were not stored: have them decided by ``change``.
        """

    def change(drafts: Sequence[Draft]) -> Awaitable[Sequence[Appended | ChatdError]]:
        """Decide on drafts of any kind, one after the other, on locked and current state, and store what is allowed.

        A verdict for each: ``NotFound`` where the conversation is not there, what the draft's own rules raise, or
        where it stands, perhaps from an earlier time.
        """

    def repeats(drafts: Sequence[Draft]) -> Awaitable[Sequence[Appended | ChatdError | None]]:
        """For each draft the place where it already stands, a ``Conflict``, or None where it is new."""

    def entries(reader: str, cursors: Sequence[Cursor], limit: int) -> Awaitable[list[Entry]]:
        """At most ``limit`` entries behind the cursors: conversation by conversation as given, each by ``seq``.

        Only what ``reader`` may see. Fewer than ``limit`` mean that there were no more. Logs that are not there hold
        nothing.
        """

    def messages(page: Page) -> Awaitable[list[KeptMessage]]:
        """One page of messages as they are now, by ``seq``, of what its reader may see."""

    def edits(conversation: str, seq: int) -> Awaitable[list[Entry]]:
        """All edits of the message that stands at ``seq``, in their order."""


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

    def membership(conversation: str, user: str) -> Awaitable[Membership | None]:
        """How one person stands to a conversation, or stood when they left."""

    def marks(conversation: str) -> Awaitable[list[Delivered]]:
        """How far each present member has been reached; members are always in the order of their code points."""

    def page(user: str, before: tuple[datetime, str] | None, limit: int) -> Awaitable[list[Listed]]:
        """Conversations that hold something, the latest first; those behind ``before`` (``last_at`` and id).

        Event queues are not among them. Of two that changed at the same time, the greater id comes first.
        """

    def positions(user: str, device: str) -> Awaitable[list[Position]]:
        """All logs of which a person may see anything, the latest first, with the cursors of one device."""

    def acknowledge(ack: Ack) -> Awaitable[bool]:
        """Move a device's cursor and its person's mark forward, never back. Whether the mark moved.

        Raises NotFound where the person is no member, Invalid where ``seq`` is beyond the log's end.
        """


class IKeyStore(Interface):
    """People's wrapped data keys."""

    def keys(users: Sequence[str]) -> Awaitable[list[WrappedKey]]:
        """The keys that exist among those asked for."""

    def add(key: WrappedKey) -> Awaitable[WrappedKey]:
        """Keep ``key`` unless the person has one already; the one that counts."""


class IDeviceStore(Interface):
    """People's devices, and what is no longer taken of their tokens."""

    def note(sighting: Sighting) -> Awaitable[object]:
        """Remember that a device has shown a token."""

    def devices(user: str) -> Awaitable[list[Device]]:
        """A person's devices, in the order of their code points."""

    def revocations(within: float | None = None) -> Awaitable[list[Revocation]]:
        """What was revoked within so many seconds, or all that still matters. What is being committed may be missing.

        Written by :class:`~chatd.devices.EndDevices`.
        """

    def prune() -> Awaitable[object]:
        """Delete revocations of which everything has expired."""


class IRelations(Interface):
    """How people stand to each other, as far as rules and passing notices depend on it."""

    def apart(user: str) -> Awaitable[frozenset[str]]:
        """Whoever blocks ``user`` or is blocked by them."""

    def check_contact(user: str, other: str) -> Awaitable[None]:
        """Raise Forbidden unless ``user`` may open a conversation with ``other``, or invite them into a group.

        A block either way and what this product allows decide; whether ``other`` exists does not show.
        """


class IBus(Interface):
    """How committed changes and passing notices reach all connections. It may lose, repeat and reorder."""

    def publish(publications: Sequence[Publication]) -> None:
        """Called by the log writer after a commit, in log order for each conversation."""

    def notify(users: Collection[str], event: EphemeralEvent) -> None:
        """Tell these people's connections in passing."""

    def signal(signal: Signal) -> None:
        """Tell every worker, this one included."""

    def subscribe(
        receive: Callable[[Sequence[Publication]], None],
        notice: Callable[[Collection[str], EphemeralEvent], None],
        heed: Callable[[Signal], None],
    ) -> None:
        """Register this worker's hub and its exchange of signals; called once, before anything is published."""
