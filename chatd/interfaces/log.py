"""The log, and the way into it."""

from collections.abc import Awaitable, Sequence

from zope.interface import Interface

from chatd.errors import ChatdError
from chatd.records.bus import Tail
from chatd.records.logs import Appended, Cursor, Draft, Entry, KeptMessage, Page


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
        nothing. They are read from now on, whenever that is awaited.
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
