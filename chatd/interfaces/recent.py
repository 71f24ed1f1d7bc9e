"""The newest messages of conversations, for whoever keeps them."""

from collections.abc import Awaitable, Sequence

from zope.interface import Interface

from chatd.records.recent import Outlook, Recent


class IRecentStore(Interface):
    """The end of a log: what is the same for all of its readers, and what is not."""

    def outlook(conversation: str, reader: str) -> Awaitable[Outlook | None]:
        """Where a log ends now and what of it ``reader`` may see, all of one moment; None where they never stood to it.

        Its cost is that of looking up two rows.
        """

    def recent(conversation: str, limit: int) -> Awaitable[Recent | None]:
        """The newest ``limit`` messages, whoever may see them, all of one moment; None where the log moves meanwhile.

        Also where there is no log.
        """

    def own(conversation: str, reader: str, seqs: Sequence[int]) -> Awaitable[set[tuple[int, bytes]]]:
        """The marks that ``reader`` has on these messages, each behind where its message stands."""
