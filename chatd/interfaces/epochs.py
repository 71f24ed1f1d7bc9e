"""The epoch of the database."""

from collections.abc import Awaitable

from zope.interface import Interface

from chatd.records.epochs import Epoch


class IEpochs(Interface):
    """While an epoch lasts, logs only grow: what was committed in it stays, and no seq is given twice.

    All raise a ServerError that is retryable where the database is away, or not yet fit to be asked.
    """

    def settle() -> Awaitable[str]:
        """The epoch that holds; a new one, where there is none or the database is not where the last one began.

        Of many who ask at once, all are given the same.
        """

    def current() -> Awaitable[Epoch]:
        """The epoch that the database bears, whether it holds or not."""

    def renew() -> Awaitable[str]:
        """Begin another one; its name."""
