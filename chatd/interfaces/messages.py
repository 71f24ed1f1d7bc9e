"""What is kept about messages, beyond the log."""

from collections.abc import Awaitable, Sequence

from zope.interface import Interface

from chatd.records.logs import Entry, KeptMessage, Page
from chatd.records.reactions import Tally
from chatd.records.search import Finding, Search


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


class ISearchStore(Interface):
    """The index of messages by the tokens of their drafts, which is written with the messages."""

    def searchable(reader: str, after: str, limit: int) -> Awaitable[list[str]]:
        """The conversations with an id greater than ``after`` of which ``reader`` may see anything, by their ids.

        Event queues are not among them.
        """

    def search(search: Search) -> Awaitable[Finding]:
        """Messages in which every token occurs. What is deleted or edited away does not."""
