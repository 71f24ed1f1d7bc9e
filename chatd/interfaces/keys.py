"""Keys as they are kept."""

from collections.abc import Awaitable, Sequence

from zope.interface import Interface

from chatd.records.keys import WrappedKey


class IKeyStore(Interface):
    """People's wrapped data keys."""

    def keys(users: Sequence[str]) -> Awaitable[list[WrappedKey]]:
        """The keys that exist among those asked for."""

    def add(key: WrappedKey) -> Awaitable[WrappedKey]:
        """Keep ``key`` unless the person has one already; the one that counts."""
