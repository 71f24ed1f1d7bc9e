"""The seams. Those of the store have a memory twin; both are held to one contract suite in ``tests/contract``.

Whatever asks these may be told :exc:`~chatd.errors.Unavailable`, :exc:`~chatd.errors.Overloaded` or
:exc:`~chatd.errors.OutcomeUnknown`: the first two mean that nothing was changed.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Literal

from zope.interface import Interface

from chatd.devices import Device, Revocation, Sighting
from chatd.errors import ChatdError
from chatd.records import (
    Ack,
    Acquaintance,
    Appended,
    Blocks,
    Claims,
    Confirmation,
    Conversation,
    ConversationKind,
    Cursor,
    Draft,
    Enlisted,
    Entry,
    Finding,
    Group,
    Invitation,
    KeptMessage,
    Lease,
    Listed,
    Mark,
    Membership,
    Moved,
    Page,
    Position,
    Publication,
    Reach,
    Read,
    Receipts,
    Roster,
    Search,
    Seen,
    Side,
    Signal,
    Standing,
    Tail,
    Tally,
    Tie,
    WrappedKey,
)
from chatd.wire.events import EphemeralEvent

Purpose = Literal["direct", "invitation"]
"""What somebody wants of another: to open a direct conversation, or to invite them into a group."""


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

    def tails(cursors: Sequence[Cursor], limit: int) -> Awaitable[list[Tail]]:
        """What stands behind the cursors, whoever may see it: for the worker, which knows whom it is to go to.

        At most ``limit`` entries in all, the first cursors' first. Logs that are not there have no tail.
        """

    def messages(page: Page) -> Awaitable[list[KeptMessage]]:
        """One page of messages as they are now, by ``seq``, of what its reader may see."""

    def edits(conversation: str, seq: int) -> Awaitable[list[Entry]]:
        """All edits of the message that stands at ``seq``, in their order."""

    def at(places: Sequence[tuple[str, int]]) -> Awaitable[list[Entry]]:
        """What stands at these places, each a conversation and a ``seq``, whoever may see it; in any order."""


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


class IKeyStore(Interface):
    """People's wrapped data keys."""

    def keys(users: Sequence[str]) -> Awaitable[list[WrappedKey]]:
        """The keys that exist among those asked for."""

    def add(key: WrappedKey) -> Awaitable[WrappedKey]:
        """Keep ``key`` unless the person has one already; the one that counts."""


class IReactionStore(Interface):
    """Who reacts to what, as it is now. It is written by the log's changes."""

    def tallies(conversation: str, reader: str, seqs: Sequence[int]) -> Awaitable[list[Tally]]:
        """The reactions to these messages, message by message; of each, those first that were there first.

        Whether ``reader`` sees the messages is not looked at.
        """

    def page(page: Page) -> Awaitable[tuple[list[KeptMessage], list[Tally]]]:
        """A page of messages as :meth:`ILogStore.messages` gives it, and the reactions to what it shows of them.

        Once there is the one, the other is not waited for in line: a page takes much memory.
        """

    def reactions(conversation: str, seq: int, *, after: int, limit: int, mark: bytes | None) -> Awaitable[list[Entry]]:
        """At most ``limit`` entries behind ``after`` by which somebody reacts to the message at ``seq``, in order.

        Only those with ``mark``, if that is given.
        """


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


class ISearchStore(Interface):
    """The index of messages by the tokens of their drafts, which is written with the messages."""

    def searchable(reader: str, after: str, limit: int) -> Awaitable[list[str]]:
        """The conversations with an id greater than ``after`` of which ``reader`` may see anything, by their ids.

        Event queues are not among them.
        """

    def search(search: Search) -> Awaitable[Finding]:
        """Messages in which every token occurs. What is deleted or edited away does not."""


class IRelations(Interface):
    """How people stand to each other, as far as rules and passing notices depend on it."""

    def apart(user: str) -> Awaitable[frozenset[str]]:
        """Whoever blocks ``user`` or is blocked by them."""

    def blockers(user: str) -> Awaitable[frozenset[str]]:
        """Whoever blocks ``user``."""

    def check_contact(user: str, other: str, purpose: Purpose = "invitation") -> Awaitable[None]:
        """Raise Forbidden unless ``user`` may open a conversation with ``other``, or invite them into a group.

        A block either way and what this product allows decide; whether ``other`` exists does not show.
        """


class IContacts(Interface):
    """The product's own decision on who may contact whom, for those whom no block keeps apart."""

    def allows(user: str, other: str, purpose: Purpose) -> Awaitable[bool]:
        """Whether ``user`` may contact ``other``; raises Unavailable where that cannot be found out."""


class IRelationStore(Interface):
    """Who follows and who blocks whom. It is changed by drafts that relate; see ``Draft.relating``."""

    def tie(user: str, other: str) -> Awaitable[Tie]:
        """How these two stand to each other."""

    def blocks(user: str) -> Awaitable[Blocks]:
        """All blocks that concern a person."""

    def page(side: Side, user: str, after: str, limit: int) -> Awaitable[list[Acquaintance]]:
        """Those on one side of a person's, by the code points of their names, behind the name ``after``."""


class IProfileStore(Interface):
    """People's profiles, each as the entry that gave it.

    What a person gave themselves stands in their event queue too, and was written there; see ``ProfileGiven``. What
    was taken from a token has the ``seq`` 0. The ``time`` of a person's profile grows with each change of it.
    """

    def profiles(users: Sequence[str]) -> Awaitable[list[Entry]]:
        """The profiles that exist among those asked for."""

    def claim(profile: Entry) -> Awaitable[bool]:
        """Keep what a token says, unless the person has given a profile themselves. Whether it was kept."""


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


class IPresenceStore(Interface):
    """The leases that say who is online. Their times are the database's, whatever the clocks of machines show.

    A worker holds one lease under a random id; what it says of people counts while that runs. One that has run out is
    never renewed: its worker begins anew, under another id.
    """

    def begin(worker: str, seconds: float) -> Awaitable[None]:
        """Give ``worker``, an id that nobody has used, a lease of so many seconds."""

    def renew(worker: str, seconds: float) -> Awaitable[bool]:
        """Have a lease run for so many seconds from now, more or less than before; False where it had run out."""

    def write(worker: str, leases: Sequence[Lease]) -> Awaitable[bool]:
        """Say as what people count at ``worker``, each once; False, with nothing changed, where its lease has run out.

        Whoever was visible there and is no longer was last seen now.
        """

    def sweep(limit: int) -> Awaitable[list[str]]:
        """Remove at most ``limit`` people from a worker whose lease has run out, and the worker with the last of them.

        Who they were: told to one of those who sweep at once. They were last seen when that lease was last renewed.
        Fewer than ``limit`` mean that nothing is left of that worker, or that there was none.
        """

    def read(users: Sequence[str]) -> Awaitable[list[Seen]]:
        """How these people are to be found, each once, in no particular order; unknown ones are offline."""

    def acquainted(pairs: Sequence[tuple[str, str]]) -> Awaitable[set[tuple[str, str]]]:
        """Those of the pairs whose two people are members of a conversation together, or follow each other."""


class IRhythm(Interface):
    """What a worker does again and again while it runs, on monotonic time.

    A :exc:`~chatd.errors.ServerError` that is raised by what it calls is borne, since the next time comes; anything
    else is logged.
    """

    def seconds() -> float:
        """The time, of which only differences count."""

    def every(seconds: float, beat: Callable[[], Awaitable[None]]) -> None:
        """Call ``beat`` so often, and never again before it has ended."""

    def at_end(farewell: Callable[[], Awaitable[None]]) -> None:
        """Call ``farewell`` when nothing else is called any more, while the database is still there."""
